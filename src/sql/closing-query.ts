/**
 * A statement and COMMIT in one message to a node-postgres client that does not pipeline: one round trip, and one
 * wake-up of the server process and of this one. When the statement raises, the server skips what follows it up to
 * Sync, COMMIT too. Clients take queries that write themselves (`submit`), as pg-cursor does:
 * https://node-postgres.com/apis/cursor
 */
import type { Statement } from './database.ts'

/** The messages of the extended protocol, on the `connection` of a client. */
interface Protocol {
  readonly stream: { cork(): void; uncork(): void }
  readonly parsedStatements: Readonly<Record<string, string | undefined>>
  parse(message: { text: string; name: string }): void
  bind(message: {
    statement: string
    values: readonly unknown[]
    valueMapper: (value: unknown) => unknown
  }): void
  execute(message: object): void
  sync(): void
}

/** A client that takes queries which write themselves. */
export interface ProtocolClient {
  query(query: ClosingQuery): unknown
}

/** A statement, and the name under which it is prepared; empty: it is not. */
export interface ClosingStatement extends Statement {
  readonly name: string
}

/** True for node-postgres; false for what only looks like it (pg-native, test doubles). */
export function speaksProtocol(client: object): client is ProtocolClient {
  if (!('connection' in client)) return false
  const { connection } = client
  return (
    typeof connection === 'object' &&
    connection !== null &&
    ['parse', 'bind', 'execute', 'sync'].every(
      (name) => typeof (connection as Record<string, unknown>)[name] === 'function',
    )
  )
}

/** Sends `last` and COMMIT. The answer is COMMIT's; the error whatever the server raised first. */
export function sendClosing(
  client: ProtocolClient,
  last: ClosingStatement,
): Promise<{ readonly command: string }> {
  return new Promise((resolve, reject) => {
    client.query(
      new ClosingQuery(last, (error, command) => {
        if (error === null) resolve({ command })
        else reject(error)
      }),
    )
  })
}

/** What a client calls on its active query. `name` and `text`: the client keeps the names it has parsed. */
class ClosingQuery {
  readonly name: string
  readonly text: string
  readonly #values: readonly unknown[]
  /** Replaced by a client that has a `query_timeout`. */
  callback: (error: Error | null, command: string) => void
  #command = ''

  constructor(last: ClosingStatement, callback: ClosingQuery['callback']) {
    this.name = last.name
    this.text = last.text
    this.#values = last.values
    this.callback = callback
  }

  submit(connection: Protocol): null {
    const { stream } = connection
    stream.cork()
    try {
      if (this.name === '' || connection.parsedStatements[this.name] === undefined) {
        connection.parse({ text: this.text, name: this.name })
      }
      connection.bind({ statement: this.name, values: this.#values, valueMapper: wireValue })
      connection.execute({})
      connection.parse({ text: 'commit', name: '' })
      connection.bind({ statement: '', values: [], valueMapper: wireValue })
      connection.execute({})
      connection.sync()
    } finally {
      stream.uncork()
    }
    return null
  }

  handleCommandComplete({ text }: { readonly text: string }): void {
    this.#command = text
  }

  handleReadyForQuery(): void {
    this.callback(null, this.#command)
  }

  handleError(error: Error): void {
    this.callback(error, '')
  }

  /** Its row says only that the statement has not raised. */
  handleDataRow(): void {}
  handleRowDescription(): void {}
  handlePortalSuspended(): void {}
  handleEmptyQuery(): void {}
}

/** Text and bytes as they are, numbers as text: all that Pawl's own statements are given. */
function wireValue(value: unknown): unknown {
  if (typeof value === 'number') return String(value)
  return value instanceof Uint8Array && !Buffer.isBuffer(value) ? Buffer.from(value) : value
}

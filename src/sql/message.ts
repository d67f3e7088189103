/**
 * Several statements in one message to a node-postgres client that does not pipeline: one round trip, and one wake-up
 * of the server process and of this one. When one raises, the server skips those behind it up to Sync: a COMMIT
 * behind a fence too. Clients take queries that write themselves (`submit`), as pg-cursor does:
 * https://node-postgres.com/apis/cursor
 */
import type { Rows, Statement } from './database.ts'

/** One column of an answer. */
interface Field {
  readonly name: string
  readonly dataTypeID: number
}

/** The messages of the extended protocol, on the `connection` of a client. */
export interface Protocol {
  readonly stream: { readonly writable: boolean; cork(): void; uncork(): void; destroy(): void }
  readonly parsedStatements: Record<string, string | undefined>
  on(event: 'parseComplete', listener: () => void): unknown
  off(event: 'parseComplete', listener: () => void): unknown
  parse(message: { text: string; name: string }): void
  bind(message: {
    statement: string
    values: readonly unknown[]
    valueMapper: (value: unknown) => unknown
  }): void
  describe(message: { type: 'P'; name: string }): void
  execute(message: object): void
  sync(): void
  flush(): void
}

/** A client that takes queries which write themselves. */
export interface ProtocolClient {
  query(query: Message): unknown
  getTypeParser(type: number, format: 'text'): (value: string) => unknown
}

/** A statement, and the name under which it is prepared; empty: it is not. */
export interface NamedStatement extends Statement {
  readonly name: string
}

/** What one statement was answered with. */
export interface Answer {
  readonly command: string
  readonly rows: Rows
}

/** True for node-postgres; false for what only looks like it (pg-native, test doubles). */
export function speaksProtocol(client: object): client is ProtocolClient {
  let speaks = known.get(client)
  if (speaks === undefined) known.set(client, (speaks = hasProtocol(client)))
  return speaks
}

const known = new WeakMap<object, boolean>()
const CONNECTION = ['parse', 'bind', 'describe', 'execute', 'sync', 'flush', 'on', 'off', 'emit']
const STREAM = ['cork', 'uncork', 'destroy']

function hasProtocol(client: object): boolean {
  if (!('connection' in client && 'getTypeParser' in client)) return false
  const { connection } = client
  if (!hasMethods(connection, CONNECTION)) return false
  return 'stream' in connection && hasMethods(connection.stream, STREAM)
}

function hasMethods(value: unknown, names: readonly string[]): value is object {
  return (
    typeof value === 'object' &&
    value !== null &&
    names.every((name) => typeof (value as Record<string, unknown>)[name] === 'function')
  )
}

/**
 * Sends statements together. The answers in their order, or the error that the server raised first.
 *
 * @param failed - is told of that error
 */
export function sendMessage(
  client: ProtocolClient,
  statements: readonly NamedStatement[],
  failed: (error: unknown) => void,
): Promise<readonly Answer[]> {
  return new Promise((resolve, reject) => {
    client.query(
      new Message(client, statements, (error, answers) => {
        if (error === null) resolve(answers)
        else {
          failed(error)
          reject(error)
        }
      }),
    )
  })
}

type Parse = (value: string) => unknown

interface Column {
  readonly name: string
  readonly parse: Parse
}

/** What is never described, however often it is sent. */
const WITHOUT_ROWS = /^(?:begin|start|set|commit|rollback)\b/i

/** The columns of the prepared statements of a connection, by name: a plan whose columns change is refused. */
const described = new WeakMap<Protocol, Map<string, readonly Column[]>>()

function columnsOf(connection: Protocol): Map<string, readonly Column[]> {
  let columns = described.get(connection)
  if (columns === undefined)
    described.set(connection, (columns = new Map<string, readonly Column[]>()))
  return columns
}

function isNew({ parsedStatements }: Protocol, { name }: NamedStatement): boolean {
  return name === '' || parsedStatements[name] === undefined
}

/** What a client calls on its active query. */
class Message {
  readonly #client: ProtocolClient
  readonly #statements: readonly NamedStatement[]
  /** Replaced by a client that has a `query_timeout`. */
  callback: (error: Error | null, answers: readonly Answer[]) => void
  readonly #answers: Answer[] = []
  #described: Map<string, readonly Column[]> | undefined
  #columns: readonly Column[] | undefined
  #rows: Record<string, unknown>[] = []
  #stopListening: (() => void) | undefined

  constructor(
    client: ProtocolClient,
    statements: readonly NamedStatement[],
    callback: Message['callback'],
  ) {
    this.#client = client
    this.#statements = statements
    this.callback = callback
  }

  submit(connection: Protocol): null {
    const { stream } = connection
    const parsing: NamedStatement[] = []
    const columns = (this.#described = columnsOf(connection))
    stream.cork()
    try {
      for (const statement of this.#statements) {
        const { text, name, values } = statement
        const parses = isNew(connection, statement)
        if (parses) {
          connection.parse({ text, name })
          parsing.push(statement)
        }
        connection.bind({ statement: name, values, valueMapper: wireValue })
        if ((parses || !columns.has(name)) && !WITHOUT_ROWS.test(text))
          connection.describe({ type: 'P', name: '' })
        connection.execute({})
      }
      connection.sync()
      if (parsing.length > 0) this.#rememberParsed(connection, parsing)
    } finally {
      stream.uncork()
    }
    return null
  }

  /** The client remembers one name a query, at the first statement that is parsed; here there are several. */
  #rememberParsed(connection: Protocol, parsing: readonly NamedStatement[]): void {
    const names = parsing[Symbol.iterator]()
    const parsed = (): void => {
      const { value } = names.next()
      if (value !== undefined && value.name !== '') {
        connection.parsedStatements[value.name] = value.text
      }
    }
    connection.on('parseComplete', parsed)
    this.#stopListening = () => void connection.off('parseComplete', parsed)
  }

  handleRowDescription({ fields }: { readonly fields: readonly Field[] }): void {
    this.#columns = fields.map(({ name, dataTypeID }) => ({
      name,
      parse: this.#client.getTypeParser(dataTypeID, 'text'),
    }))
    const { name } = this.#current()
    if (name !== '') this.#described?.set(name, this.#columns)
  }

  handleDataRow({ fields }: { readonly fields: readonly (string | null)[] }): void {
    const columns = this.#columns ?? this.#described?.get(this.#current().name) ?? []
    const row: Record<string, unknown> = {}
    for (let at = 0; at < columns.length; at++) {
      const { name, parse } = columns[at] as Column
      const value = fields[at] ?? null
      row[name] = value === null ? null : parse(value)
    }
    this.#rows.push(row)
  }

  handleCommandComplete({ text }: { readonly text: string }): void {
    this.#answers.push({ command: text, rows: this.#rows })
    this.#rows = []
    this.#columns = undefined
  }

  /** The statement that is being answered. */
  #current(): NamedStatement {
    return this.#statements[this.#answers.length] as NamedStatement
  }

  handleReadyForQuery(): void {
    this.#stopListening?.()
    this.callback(null, this.#answers)
  }

  handleError(error: Error): void {
    this.#stopListening?.()
    this.callback(error, [])
  }

  handlePortalSuspended(): void {}
  handleEmptyQuery(): void {}
}

/** Text and bytes as they are, numbers as text: all that Pawl's own statements are given. */
export function wireValue(value: unknown): unknown {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  return value instanceof Uint8Array && !Buffer.isBuffer(value) ? Buffer.from(value) : value
}

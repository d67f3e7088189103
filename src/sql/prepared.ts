/**
 * Prepared statements of a driver that speaks PostgreSQL's protocol: each is parsed and planned once a connection,
 * which is half of what a claim or a fence costs (bench/). Behind a pooler that shares server connections between
 * clients (PgBouncer in transaction mode) they may not be there: the first such answer turns them off.
 */
import { createHash } from 'node:crypto'
import type { Rows, Statement } from './database.ts'
import {
  type Answer,
  type NamedStatement,
  type ProtocolClient,
  sendMessage,
  speaksProtocol,
} from './message.ts'
import { hasAnswered } from './postgres-errors.ts'
import { connected } from './wire-transaction.ts'
import { unwrapped } from './wrapped-error.ts'

/** What a driver is given. */
export interface WireQuery {
  readonly text: string
  readonly values: unknown[]
  readonly name?: string
  readonly queryMode?: 'extended'
}

/** What a driver answers. */
export interface WireResult {
  readonly rows: unknown[]
  readonly command: string
}

/** What takes queries: a pool, or one of its clients. */
export interface WireQueries {
  query(query: WireQuery): Promise<WireResult>
}

/** A pool whose clients may be taken out. */
export interface WirePool extends WireQueries {
  connect(): Promise<WireQueries & { release(destroy?: boolean): void }>
}

// invalid_sql_statement_name and duplicate_prepared_statement: the doing of a pooler. Nothing was executed.
const NOT_THERE = '26000'
const THERE_ALREADY = '42P05'

/** True where a pooler has mixed up prepared statements: nothing was executed, and the next try is without them. */
export function isOfPooler(error: unknown): boolean {
  for (const { code } of unwrapped(error)) {
    if (code === NOT_THERE || code === THERE_ALREADY) return true
  }
  return false
}

/** Again, where that was the reason: for what is a transaction of Pawl's own. */
export async function throughPooler<R>(work: () => Promise<R>): Promise<R> {
  return await work().catch((error: unknown) => {
    if (!isOfPooler(error)) throw error
    return work()
  })
}

/** Names statements after their verb and text: readable in pg_prepared_statements, and one name never means two. */
export class PreparedStatements {
  readonly #names = new Map<string, string>()
  #on: boolean

  constructor(on: boolean) {
    this.#on = on
  }

  /** False where they are off, or a pooler has turned them off. */
  get hasNames(): boolean {
    return this.#on
  }

  /** Sends a statement; without values (migrations, BEGIN where it travels alone) it is not worth a name. */
  send(on: WireQueries, { text, values }: Statement): Promise<WireResult> {
    if (this.#on && values.length > 0) return this.sendNamed(on, this.named({ text, values }))
    return on.query({ text, values: [...values] })
  }

  /** A statement in a transaction of its own: where a pooler has refused its name, again without one. */
  async alone(pool: WireQueries, statement: Statement): Promise<Rows> {
    return await throughPooler(async () => (await this.send(pool, statement)).rows as Rows)
  }

  /** As {@link alone}, with the columns of an answer described once a connection, and not each time. */
  async onClientOf(pool: WirePool, statement: Statement): Promise<Rows> {
    if (statement.values.length === 0) return await this.alone(pool, statement)
    return await throughPooler(async () => {
      const client = await connected(pool.connect())
      try {
        const rows = speaksProtocol(client)
          ? await this.rows(client, statement)
          : ((await this.send(client, statement)).rows as Rows)
        client.release()
        return rows
      } catch (error) {
        client.release(!hasAnswered(error))
        throw error
      }
    })
  }

  /** The rows of one statement. */
  async rows(
    client: ProtocolClient & WireQueries & { readonly pipeline?: boolean },
    statement: Statement,
  ): Promise<Rows> {
    if (client.pipeline === true) return (await this.send(client, statement)).rows as Rows
    const [answer] = await this.sendTogether(client, [statement])
    return answer?.rows ?? []
  }

  /**
   * Sends statements in one message.
   *
   * @param failed - is told of an error at once, before anything that waits on the client is sent
   */
  sendTogether(
    client: ProtocolClient,
    statements: readonly Statement[],
    failed?: (error: unknown) => void,
  ): Promise<readonly Answer[]> {
    const named = statements.map((statement) => this.named(statement))
    return sendMessage(client, named, (error) => {
      this.failed(error)
      failed?.(error)
    })
  }

  /** As it is sent: with a name, unless they are off. */
  named({ text, values }: Statement): NamedStatement {
    return { text, values, name: this.#on ? this.#nameOf(text) : '' }
  }

  /** Sends a statement by its name, also one without values. */
  async sendNamed(on: WireQueries, { text, values, name }: NamedStatement): Promise<WireResult> {
    // Without a name the extended protocol is asked for: behind what has no Sync, nothing else is skipped.
    const how = name === '' ? ({ queryMode: 'extended' } as const) : { name }
    return await on.query({ text, values: [...values], ...how }).catch((error: unknown) => {
      this.failed(error)
      throw error
    })
  }

  /** Learns from what a statement with a name was answered with. */
  readonly failed = (error: unknown): void => {
    if (isOfPooler(error)) this.#on = false
  }

  #nameOf(text: string): string {
    let name = this.#names.get(text)
    if (name === undefined) {
      const verb = /\w+/.exec(text)?.[0].toLowerCase() ?? ''
      name = `pawl_${verb}_${createHash('sha256').update(text).digest('hex').slice(0, 16)}`
      this.#names.set(text, name)
    }
    return name
  }
}

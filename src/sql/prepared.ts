/**
 * Prepared statements of a driver that speaks PostgreSQL's protocol: each is parsed and planned once a connection,
 * which is half of what a claim or a fence costs (bench/). Behind a pooler that shares server connections between
 * clients (PgBouncer in transaction mode) they may not be there: the first such answer turns them off.
 */
import { createHash } from 'node:crypto'
import { sendClosing, speaksProtocol } from './closing-query.ts'
import type { Statement } from './database.ts'
import { transactionOver, type WireConnection } from './wire-transaction.ts'

/** What a driver is given. */
export interface WireQuery {
  readonly text: string
  readonly values: unknown[]
  readonly name?: string
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

// invalid_sql_statement_name and duplicate_prepared_statement: the doing of a pooler. Nothing was executed.
const NOT_THERE = '26000'
const THERE_ALREADY = '42P05'

/** Names statements after their text, so that one name never means two. */
export class PreparedStatements {
  readonly #names = new Map<string, string>()
  #on: boolean

  constructor(on: boolean) {
    this.#on = on
  }

  /** Sends a statement; without values (BEGIN, migrations) it is not worth a name. */
  send(on: WireQueries, { text, values }: Statement): Promise<WireResult> {
    const query = { text, values: [...values] }
    if (!this.#on || values.length === 0) return on.query(query)
    return on.query({ ...query, name: this.#nameOf(text) }).catch(this.#failed)
  }

  /** The verbs of a transaction on a client. Pipelined, a statement and COMMIT travel together anyway. */
  verbsOf(client: WireQueries, pipelined: boolean): Omit<WireConnection, 'done'> {
    const verbs = transactionOver((statement) => this.send(client, statement))
    return { ...verbs, sendClosing: pipelined ? undefined : this.#closingOf(client) }
  }

  #closingOf(client: object): WireConnection['sendClosing'] {
    if (!speaksProtocol(client)) return undefined
    return ({ text, values }) => {
      const name = this.#on ? this.#nameOf(text) : ''
      return sendClosing(client, { text, values, name }).catch(this.#failed)
    }
  }

  readonly #failed = (error: unknown): never => {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === NOT_THERE || code === THERE_ALREADY) this.#on = false
    throw error
  }

  #nameOf(text: string): string {
    let name = this.#names.get(text)
    if (name === undefined) {
      name = `pawl_${createHash('sha256').update(text).digest('hex').slice(0, 16)}`
      this.#names.set(text, name)
    }
    return name
  }
}

/**
 * Pawl's own statements over TypeORM. Where its driver is node-postgres they go to the client itself, prepared: planned
 * for each run, as TypeORM sends them, they cost the server more than the work they protect (ADR 0020). Else through
 * TypeORM.
 */
import type { Rows, Statement } from './database.ts'
import { type ProtocolClient, speaksProtocol } from './message.ts'
import { PreparedStatements, type WireQueries } from './prepared.ts'

/** What is read of a query runner. */
export interface RunnerLike {
  connect(): Promise<unknown>
  query(text: string, values?: unknown[]): Promise<unknown>
  readonly isReleased: boolean
}

/** A manager of TypeORM; outside of a transaction it may have no runner. */
export interface ManagerLike {
  query(text: string, values?: unknown[]): Promise<unknown>
  readonly queryRunner?: RunnerLike | undefined
}

/** What is read of a data source. `driver.master` is its pool. */
export interface QueriesDataSource {
  query(text: string, values?: unknown[]): Promise<unknown>
  readonly driver?: object
}

/** A client of node-postgres. */
export type RunnerClient = ProtocolClient & WireQueries & { readonly pipeline?: boolean }

/** What TypeORM's `query` answers: of an UPDATE rows and their number, of everything else rows. */
export function rowsOf(answer: unknown): Rows {
  const [rows, count] = answer as readonly unknown[]
  return (typeof count === 'number' ? rows : answer) as Rows
}

/** Statements on one data source. */
export class RunnerQueries {
  readonly prepared: PreparedStatements
  readonly #dataSource: QueriesDataSource

  constructor(dataSource: QueriesDataSource, prepare: boolean) {
    this.#dataSource = dataSource
    this.prepared = new PreparedStatements(prepare)
  }

  /** On any connection. */
  async query(statement: Statement): Promise<Rows> {
    const { driver } = this.#dataSource
    const pool = driver !== undefined && 'master' in driver ? driver.master : undefined
    if (isPool(pool)) return await this.prepared.alone(pool, statement)
    return rowsOf(await this.#dataSource.query(statement.text, [...statement.values]))
  }

  /** On the connection of a manager, in whatever transaction it is. */
  async within(manager: ManagerLike, statement: Statement): Promise<Rows> {
    const runner = manager.queryRunner
    if (runner === undefined) return await this.query(statement)
    const client = await clientOf(runner)
    if (client !== undefined) return await this.prepared.rows(client, statement)
    return rowsOf(await runner.query(statement.text, [...statement.values]))
  }
}

/** The client under a query runner. None: it is not node-postgres, or was given back. */
export async function clientOf(runner: RunnerLike): Promise<RunnerClient | undefined> {
  if (runner.isReleased) return undefined
  const client = await runner.connect()
  if (typeof client !== 'object' || client === null || !speaksProtocol(client)) return undefined
  return client as RunnerClient
}

function isPool(pool: unknown): pool is WireQueries {
  return (
    typeof pool === 'object' &&
    pool !== null &&
    ['query', 'connect'].every(
      (name) => typeof (pool as Record<string, unknown>)[name] === 'function',
    )
  )
}

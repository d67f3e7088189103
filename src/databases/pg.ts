/**
 * `pawl/pg`: node-postgres. `tx` is the pool's own client, inside an open transaction.
 * How its statements travel: ADR 0011, 0016, 0017.
 */
import type { Store } from '../core/store.ts'
import type { Database, Rows } from '../sql/database.ts'
import { PgTransactions } from '../sql/pg-transaction.ts'
import { type ErringPool, listenToErrors } from '../sql/pool-errors.ts'
import { postgres, type PostgresIsolation } from '../sql/postgres.ts'
import { PreparedStatements, type WireQueries } from '../sql/prepared.ts'
import { pgRoots } from '../sql/root-handles.ts'
import { type PostgresStoreOptions, sqlStore } from '../sql/sql-store.ts'
import { connected } from '../sql/wire-transaction.ts'

/** What Pawl calls on a client. */
export interface PgClientLike extends WireQueries {
  release(destroy?: boolean): void
  on(event: 'error', listener: () => void): unknown
}

/** What Pawl calls on a pool. pg ≥ 8.11; the package itself is never imported. */
export interface PgPoolLike extends WireQueries, ErringPool {
  connect(): Promise<PgClientLike>
  readonly options: object
}

/** The client type of a pool: `pg.PoolClient` of a `pg.Pool`. */
export type PgClientOf<Pool extends PgPoolLike> = Pool extends {
  connect: { (): Promise<infer Client>; (...callback: never[]): unknown }
}
  ? Client
  : PgClientLike

/** How Pawl uses a pool. */
export interface PgStoreOptions extends PostgresStoreOptions {
  /** Named prepared statements. True by default; turns itself off behind a pooler that cannot keep them. */
  readonly prepare?: boolean
}

/**
 * Keeps records in PostgreSQL 12 or newer. Only the primary will do. A pool without a listener for its errors gets one,
 * and so does each of its clients: without it, a database restart ends the process.
 *
 * @param pool - a `pg.Pool`; stages take one connection each, everything else shares one
 * @throws {@link ConfigError} the name of the table cannot be used
 */
export function pgStore<Pool extends PgPoolLike>(
  pool: Pool,
  options: PgStoreOptions = {},
): Store<PgClientOf<Pool>, PostgresIsolation> {
  listenToErrors(pool)
  const database = databaseOf(pool, new PreparedStatements(options.prepare ?? true))
  const store = sqlStore(database, postgres, options, () => pgRoots(pool))
  return store as Store<unknown, PostgresIsolation> as Store<PgClientOf<Pool>, PostgresIsolation>
}

function databaseOf(
  pool: PgPoolLike,
  prepared: PreparedStatements,
): Database<PgClientLike, PostgresIsolation> {
  const pipelined = 'pipeline' in pool.options && pool.options.pipeline === true
  const transactions = new PgTransactions({ prepared, pipelined })
  return {
    limiting: { withBegin: true, endsIdle: true },
    query: (statement) =>
      pipelined ? prepared.alone(pool, statement) : prepared.onClientOf(pool, statement),
    within: async (client, statement) => (await prepared.send(client, statement)).rows as Rows,
    transaction: async (opening, work) =>
      await transactions.run(await connected(pool.connect()), opening, work),
  }
}

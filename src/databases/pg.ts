/**
 * `pawl/pg`: node-postgres. `tx` is the pool's own client, inside an open transaction.
 * A pool made with `pipeline: true` (pg 8.23) sends BEGIN with the first statement and the fence with COMMIT (ADR 0011).
 * @module
 */
import type { Store } from '../core/store.ts'
import { ConnectError, type Database, type Rows } from '../sql/database.ts'
import { postgres, type PostgresIsolation } from '../sql/postgres.ts'
import { type SqlStoreOptions, sqlStore } from '../sql/sql-store.ts'
import { wireTransaction } from '../sql/wire-transaction.ts'

interface PgResult {
  readonly rows: unknown[]
  readonly command: string
}

/** What Pawl calls on a client of a pool. */
export interface PgClientLike {
  query(text: string, values?: unknown[]): Promise<PgResult>
  release(destroy?: boolean): void
  on(event: 'error', listener: () => void): unknown
  off(event: 'error', listener: () => void): unknown
}

/** What Pawl calls on a pool. pg ≥ 8.11; the package itself is never imported. */
export interface PgPoolLike {
  connect(): Promise<PgClientLike>
  query(text: string, values: unknown[]): Promise<PgResult>
  on(event: 'error', listener: () => void): unknown
  listenerCount(event: 'error'): number
  readonly options: object
}

/** The client type of a pool: `pg.PoolClient` of a `pg.Pool`. */
export type PgClientOf<Pool extends PgPoolLike> = Pool['connect'] extends {
  (): Promise<infer Client>
  (...callback: never[]): unknown
}
  ? Client
  : Awaited<ReturnType<Pool['connect']>>

/**
 * Keeps records in PostgreSQL 12 or newer through a node-postgres pool. Only the primary will do. A listener for the
 * pool's idle errors is added where there is none: without one, a database restart ends the process.
 *
 * @param pool - a `pg.Pool`; stages take one connection each, everything else shares one
 * @throws {@link ConfigError} the name of the table cannot be used
 */
export function pgStore<Pool extends PgPoolLike>(
  pool: Pool,
  options: SqlStoreOptions = {},
): Store<PgClientOf<Pool>, PostgresIsolation> {
  if (pool.listenerCount('error') === 0) pool.on('error', () => undefined)
  return sqlStore(databaseOf<PgClientOf<Pool>>(pool), postgres, options)
}

function databaseOf<Tx>(pool: PgPoolLike): Database<Tx, PostgresIsolation> {
  const pipelined = 'pipeline' in pool.options && pool.options.pipeline === true
  return {
    pipelined,
    query: async ({ text, values }) => (await pool.query(text, [...values])).rows as Rows,
    within: async (tx, { text, values }) =>
      (await (tx as PgClientLike).query(text, [...values])).rows as Rows,
    transaction: async ({ isolation }, work) => {
      const client = await pool.connect().catch((error: unknown) => {
        throw new ConnectError(error)
      })
      const ignore = (): void => undefined
      client.on('error', ignore) // An idle client that loses its server would end the process otherwise.
      let broken = false
      try {
        return await wireTransaction(
          client,
          { isolation, pipelined },
          () => work(client as Tx),
          () => (broken = true),
        )
      } finally {
        client.off('error', ignore)
        client.release(broken)
      }
    },
  }
}

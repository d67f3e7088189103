/**
 * `pawl/pglite`: PostgreSQL inside the process, kept in a folder. `tx` is PGlite's own `Transaction`.
 * One connection: transactions run one after another, so it suits demos, tests and small tools.
 * @module
 */
import type { Store } from '../core/store.ts'
import type { Database, Rows } from '../sql/database.ts'
import { postgres, type PostgresIsolation } from '../sql/postgres.ts'
import { type SqlStoreOptions, sqlStore } from '../sql/sql-store.ts'

interface PGliteQueries {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>
}

/** What Pawl calls on a PGlite. @electric-sql/pglite ≥ 0.3; the package itself is never imported. */
export interface PGliteLike<Tx> extends PGliteQueries {
  transaction<R>(work: (tx: Tx) => Promise<R>): Promise<R>
}

/**
 * Keeps records in an embedded PostgreSQL.
 *
 * @throws {@link ConfigError} the name of the table cannot be used
 */
export function pgliteStore<Tx extends PGliteQueries>(
  db: PGliteLike<Tx>,
  options: SqlStoreOptions = {},
): Store<Tx, PostgresIsolation> {
  return sqlStore(databaseOf(db), postgres, options)
}

function databaseOf<Tx extends PGliteQueries>(db: PGliteLike<Tx>): Database<Tx, PostgresIsolation> {
  const query = async (
    on: PGliteQueries,
    text: string,
    values: readonly unknown[],
  ): Promise<Rows> => (await on.query(text, [...values])).rows as Rows
  return {
    query: ({ text, values }) => query(db, text, values),
    within: (tx, { text, values }) => query(tx, text, values),
    transaction: async ({ isolation }, work) =>
      await db.transaction(async (tx) => {
        if (isolation !== undefined)
          await query(tx, `set transaction isolation level ${isolation}`, [])
        const { value, last } = await work(tx)
        // PGlite does not tell whether COMMIT was answered with ROLLBACK; a failed transaction refuses any statement.
        await query(tx, last?.text ?? 'select 1', last?.values ?? [])
        return value
      }),
  }
}

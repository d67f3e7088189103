/**
 * `pawl/pglite`: PostgreSQL inside the process, kept in a folder. `tx` is PGlite's own `Transaction`.
 * One connection: transactions run one after another, so it suits demos, tests and small tools.
 * @module
 */
import type { Store } from '../core/store.ts'
import { callbackTransaction } from '../sql/callback-transaction.ts'
import type { Database, Rows } from '../sql/database.ts'
import { type Entrances, lend, refuse } from '../sql/lent-client.ts'
import { postgres, type PostgresIsolation } from '../sql/postgres.ts'
import { pgliteRoots } from '../sql/root-handles.ts'
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
export function pgliteStore<Tx extends PGliteQueries & object>(
  db: PGliteLike<Tx>,
  options: SqlStoreOptions = {},
): Store<Tx, PostgresIsolation> {
  return sqlStore(databaseOf(db), postgres, options, () => pgliteRoots(db))
}

/** PGlite 0.3 goes on answering after a rollback. */
const ASKED: Entrances = { methods: ['query', 'sql', 'exec', 'listen', 'rollback'], refuse }

function databaseOf<Tx extends PGliteQueries & object>(
  db: PGliteLike<Tx>,
): Database<Tx, PostgresIsolation> {
  const query = async (
    on: PGliteQueries,
    text: string,
    values: readonly unknown[],
  ): Promise<Rows> => (await on.query(text, [...values])).rows as Rows
  const within: Database<Tx, PostgresIsolation>['within'] = (tx, { text, values }) =>
    query(tx, text, values)
  return {
    query: ({ text, values }) => query(db, text, values),
    within,
    transaction: ({ isolation }, work) =>
      callbackTransaction(
        {
          dialect: postgres,
          within,
          lend: (tx, to) => lend(tx, to, ASKED),
          open: (run) =>
            db.transaction(async (tx) => {
              if (isolation !== undefined)
                await query(tx, `set transaction isolation level ${isolation}`, [])
              await run(tx)
            }),
        },
        work,
      ),
  }
}

/**
 * `pawl/drizzle`: Drizzle 0.45 and newer, on PostgreSQL, MySQL and better-sqlite3. `tx` is what its own `transaction`
 * gives; on better-sqlite3, whose transactions cannot wait for anything, it is the `db` inside one of Pawl's.
 * @module
 */
import type { Store } from '../core/store.ts'
import { type CallbackTransaction, callbackTransaction } from '../sql/callback-transaction.ts'
import type { Database, Rows, Statement } from '../sql/database.ts'
import type { Dialect } from '../sql/dialect.ts'
import { mysql, postgres, sqlite } from '../sql/dialects.ts'
import { ASKED, kindOf, limitingOf, rowsOf, wrapped } from '../sql/drizzle-queries.ts'
import type { DrizzleConfig, DrizzleLevel, DrizzleQueries } from '../sql/drizzle-queries.ts'
import { lend } from '../sql/lent-client.ts'
import { drizzleRoots } from '../sql/root-handles.ts'
import { type PostgresStoreOptions, sqlStore } from '../sql/sql-store.ts'
import { dialectOf } from '../sql/supported.ts'
import { syncSqlite, type SyncSqliteLike } from '../sql/sync-sqlite.ts'

/** What Pawl calls on a database of Drizzle; the package itself is never imported. */
export interface DrizzleLike {
  transaction(work: never, config?: never): unknown
}

/** The transaction of a database: its own, or on better-sqlite3 the database. */
export type DrizzleTxOf<Db extends DrizzleLike> = Db extends { run(query: never): unknown }
  ? Db
  : Db extends { transaction(work: (tx: infer Tx) => Promise<unknown>, ...rest: never[]): unknown }
    ? Tx
    : never

const DIALECTS = { PgDatabase: postgres, MySqlDatabase: mysql, BetterSQLite3Database: sqlite }

/**
 * Keeps records in the database of Drizzle. A pool of node-postgres without a listener for its errors gets one, and so
 * does each of its clients: without it, a session that the server ends takes the process with it.
 *
 * @throws {@link ConfigError} a kind of database that has no dialect or no transactions, or an unusable table name
 */
export function drizzleStore<Db extends DrizzleLike>(
  db: Db,
  options: PostgresStoreOptions = {},
): Store<DrizzleTxOf<Db>, DrizzleLevel> {
  const dialect = dialectOf('drizzleStore', kindOf(db), DIALECTS)
  const database = dialect === sqlite ? ofSqlite(db) : databaseOf(db as unknown as Drizzle, dialect)
  return sqlStore(database as never, dialect, options, () => drizzleRoots(db))
}

type Work = (tx: DrizzleQueries) => Promise<void>
type Drizzle = DrizzleQueries & { transaction(work: Work, config: DrizzleConfig): Promise<unknown> }

function databaseOf(db: Drizzle, dialect: Dialect): Database<DrizzleQueries, DrizzleLevel> {
  const within = async (on: DrizzleQueries, statement: Statement): Promise<Rows> =>
    rowsOf(await on.execute(wrapped(statement, dialect)))
  return {
    limiting: limitingOf(db, dialect),
    query: (statement) => within(db, statement),
    within,
    transaction: ({ isolation: isolationLevel = 'read committed' }, work) => {
      const open = (run: Work) => db.transaction(run, { isolationLevel })
      const lent: CallbackTransaction<DrizzleQueries>['lend'] = (tx, to, end) =>
        lend(tx, to, ASKED, end)
      return callbackTransaction({ dialect, within, open, lend: lent }, work)
    },
  }
}

function ofSqlite(db: DrizzleLike): Database<DrizzleLike, never> {
  const { $client } = db as unknown as { readonly $client: SyncSqliteLike }
  const below = syncSqlite($client)
  return {
    query: below.query,
    within: (_, statement) => below.within($client, statement),
    transaction: (options, work) => below.transaction(options, () => lend(db, work, ASKED)),
  }
}

/**
 * `pawl/node-sqlite`: `node:sqlite`, in Node 22.16 and newer. `tx` is the `DatabaseSync` itself, inside an open
 * transaction.
 * @module
 */
import type { Store } from '../core/store.ts'
import { sqlite } from '../sql/sqlite.ts'
import { type SqlStoreOptions, sqlStore } from '../sql/sql-store.ts'
import { syncSqlite, type SyncSqliteLike } from '../sql/sync-sqlite.ts'

/**
 * Keeps records in a file of SQLite, as `pawl/better-sqlite3` does.
 *
 * @param db - a connection that nobody else in this process uses
 * @throws {@link ConfigError} the name of the table cannot be used
 */
export function nodeSqliteStore<Db extends SyncSqliteLike>(
  db: Db,
  options: SqlStoreOptions = {},
): Store<Db, never> {
  return sqlStore(syncSqlite(db), sqlite, options)
}

/**
 * `pawl/libsql`: libsql 0.5 or newer, on a file of this machine. `tx` is the `Database` itself, inside an open
 * transaction. A database that is reached over the network is another one's: there BEGIN and COMMIT are not this
 * connection's alone.
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
export function libsqlStore<Db extends SyncSqliteLike>(
  db: Db,
  options: SqlStoreOptions = {},
): Store<Db, never> {
  return sqlStore(syncSqlite(db), sqlite, options)
}

/**
 * `pawl/better-sqlite3`: better-sqlite3 12. `tx` is the `Database` itself, inside an open transaction; a nested
 * `tx.transaction(…)` is a savepoint.
 * @module
 */
import type { Store } from '../core/store.ts'
import { sqlite } from '../sql/sqlite.ts'
import { type SqlStoreOptions, sqlStore } from '../sql/sql-store.ts'
import { syncSqlite, type SyncSqliteLike } from '../sql/sync-sqlite.ts'

/**
 * Keeps records in a file of SQLite: one writer at a time, in all processes of one machine. Sets `journal_mode = wal`
 * and `synchronous = full`.
 *
 * @param db - a connection that nobody else in this process uses: what others send while a stage is open would be in
 *   its transaction
 * @throws {@link ConfigError} the name of the table cannot be used
 */
export function betterSqlite3Store<Db extends SyncSqliteLike>(
  db: Db,
  options: SqlStoreOptions = {},
): Store<Db, never> {
  return sqlStore(syncSqlite(db), sqlite, options)
}

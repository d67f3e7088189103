/** A file of SQLite of a lane's own, its tables, and what stands in them in the end. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import { betterSqlite3Store } from '../../src/databases/better-sqlite3.ts'
import { CREATE_ACCOUNTS, FILL_ACCOUNTS } from './accounts.ts'
import type { Evidence, RecordRow } from './ledger.ts'
import type { Effect, RidesOptions } from './rides.ts'

/** A file, with a connection of the lane's own. */
export interface RidesSqlite extends Evidence {
  readonly file: string
  readonly db: BetterSqlite3.Database
  remove(): void
}

/** Makes one, with the tables. */
export async function createRidesSqlite(): Promise<RidesSqlite> {
  const folder = mkdtempSync(join(tmpdir(), 'pawl-faults-'))
  const file = join(folder, 'rides.db')
  const db = new BetterSqlite3(file)
  await betterSqlite3Store(db).migrate()
  db.exec('create table effects (key text, stage text, attempt int, note text)')
  db.exec(CREATE_ACCOUNTS)
  db.exec(FILL_ACCOUNTS)
  return {
    file,
    db,
    effects: async () =>
      db.prepare<[], Effect>('select key, stage, attempt, note from effects').all(),
    records: async () =>
      db
        .prepare<[], RecordRow>(
          'select idempotency_key as key, state, attempt, cast(response_body as text) as body from idempotency_key',
        )
        .all(),
    openTransactions: async () => 0, // Of its writers none is left.
    remove: () => {
      db.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** What an API needs of a connection. */
export function overSqlite(
  db: BetterSqlite3.Database,
): Pick<RidesOptions<BetterSqlite3.Database>, 'store' | 'insert'> {
  const store = betterSqlite3Store(db) as unknown as RidesOptions<BetterSqlite3.Database>['store']
  const text = 'insert into effects (key, stage, attempt, note) values (?, ?, ?, ?)'
  return {
    store,
    insert: async (tx, { key, stage, attempt, note }) =>
      tx.prepare(text).run(key, stage, attempt, note),
  }
}

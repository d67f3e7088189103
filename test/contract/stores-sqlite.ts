/** `pawl/better-sqlite3` and `pawl/libsql` under the contract suite: a file in a temporary folder. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Store } from '../../src/core/store.ts'
import { questionMarks } from '../../src/sql/placeholders.ts'
import type { SyncSqliteLike } from '../../src/sql/sync-sqlite.ts'
import {
  freshTable,
  inWordsOfSuite,
  opened,
  type Queries,
  type SqlStoreUnderTest,
} from './store-under-test.ts'
import { SQLITE } from './words.ts'

/** How one library is opened. */
export interface SqliteLibrary<Db extends SyncSqliteLike> {
  open(file: string): Db & { close(): unknown }
  openToRead?(file: string): Db & { close(): unknown }
  storeOf(db: Db, options: { readonly table: string }): Store<Db, never>
}

export async function openSqlite<Db extends SyncSqliteLike>({
  open,
  openToRead,
  storeOf,
}: SqliteLibrary<Db>): Promise<SqlStoreUnderTest> {
  const folder = mkdtempSync(join(tmpdir(), 'pawl-sqlite-'))
  const file = join(folder, 'test.db')
  const table = freshTable()
  const db = open(file)
  const store = inWordsOfSuite(storeOf(db, { table }), { queries: queriesOf })
  // Another connection, as another process has it.
  const other = open(file)
  other.exec('pragma busy_timeout = 5000')
  const sql = async (text: string, values: unknown[] = []) =>
    (await queriesOf(other).query(text, values)).rows as never
  const reading: { close(): unknown }[] = []
  const readOnly = openToRead && {
    readOnly: () => {
      const only = openToRead(file)
      reading.push(only)
      return inWordsOfSuite(storeOf(only, { table }), { queries: queriesOf })
    },
  }
  const end = (): Promise<void> => {
    for (const only of reading) only.close()
    db.close()
    other.close()
    rmSync(folder, { recursive: true })
    return Promise.resolve()
  }
  return await opened({ table, store, sql, words: SQLITE, ...readOnly, end })
}

function queriesOf(db: SyncSqliteLike): Queries {
  return {
    query: (asked, values = []) =>
      Promise.resolve().then(() => {
        const { text, values: bound } = questionMarks({ text: asked, values })
        const statement = db.prepare(text)
        if (/^select/i.test(text)) return { rows: statement.all(...(bound as never[])) }
        statement.run(...(bound as never[]))
        return { rows: [] }
      }),
  }
}

/** A file of SQLite below the API of a conformance test: one for the whole test file, as one server. */
import BetterSqlite3 from 'better-sqlite3'
import { expect } from 'vitest'
import { betterSqlite3Store } from '../../src/databases/better-sqlite3.ts'
import { questionMarks } from '../../src/sql/placeholders.ts'
import { inWordsOfSuite, type Queries } from '../contract/store-under-test.ts'
import { SQLITE } from '../contract/words.ts'
import type { AppDatabase, Connection, Reached, Row } from './app-database.ts'

// No unique constraint: it would hide the very thing that is tested for.
const EFFECTS = `create table if not exists effects (
  scope text not null, idempotency_key text not null, stage text not null, attempt int not null, note text,
  at integer not null default (cast(unixepoch('subsec') * 1000 as integer)))`

export function onSqlite({ at, down, commit }: Reached): AppDatabase {
  const queries = (db: BetterSqlite3.Database): Queries => ({
    query: async (asked, bound = []) => {
      const { text, values } = questionMarks({ text: asked, values: bound })
      const statement = db.prepare(text)
      if (statement.reader) return { rows: statement.all(...values) }
      statement.run(...values)
      return { rows: [] }
    },
  })
  const db = opened(at)
  const other = opened(at)
  if (down === true) db.close()
  if (commit !== undefined) {
    const exec = db.exec.bind(db)
    db.exec = (text) => {
      if (text === 'commit') commit(() => void exec(text))
      else exec(text)
      return db
    }
  }
  const queryOn =
    (on: BetterSqlite3.Database): Connection['query'] =>
    async (text, values = []) =>
      (await queries(on).query(text, [...values])).rows as Row[]
  const open = async (): Promise<number> => (db.inTransaction ? 1 : 0)
  return {
    store: (table) =>
      inWordsOfSuite(betterSqlite3Store(db, { table }), {
        queries: queries,
      }),
    words: SQLITE,
    effects: EFFECTS,
    query: queryOn(other),
    connect: async () => {
      const own = opened(at)
      return { query: queryOn(own), end: async () => void own.close() }
    },
    open,
    expectQuiet: async () => {
      if (down !== true) expect(await open()).toBe(0)
    },
    end: async () => {
      db.close()
      other.close()
    },
  }
}

function opened(file: string): BetterSqlite3.Database {
  const db = new BetterSqlite3(file)
  db.pragma('journal_mode = wal')
  db.pragma('busy_timeout = 5000')
  return db
}

/** The engines below the libraries: how the suite speaks on each, and where it is. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import mysql2 from 'mysql2/promise'
import pg from 'pg'
import { inject } from 'vitest'
import { questionMarks } from '../../src/sql/placeholders.ts'
import type { Sql } from './store-under-test.ts'
import { MYSQL, POSTGRES, SQLITE, type Words } from './words.ts'

/** A database of its own kind, and a connection to it that is not the library's. */
export interface Engine {
  readonly name: 'postgres' | 'mysql' | 'sqlite'
  /** A URL, or the path of a file. */
  readonly at: string
  readonly words: Words
  /** `$1` as `?`, where the engine's libraries know only that. */
  positional(text: string, values: readonly unknown[]): { text: string; values: unknown[] }
  readonly sql: Sql
  close(): Promise<void>
}

/** @param at - its URL; that of the run by default */
export function onPostgres(at: string = inject('postgresUrl')): Engine {
  const pool = new pg.Pool({ connectionString: at, max: 1 })
  return {
    name: 'postgres',
    at,
    words: POSTGRES,
    positional: (text, values) => ({ text, values: [...values] }),
    sql: async (text, values) => (await pool.query(text, values)).rows as never,
    close: () => pool.end(),
  }
}

/** @param at - its URL; that of the run by default */
export function onMariaDb(at: string = inject('mariaDbUrl')): Engine {
  const pool = mysql2.createPool({ uri: at, connectionLimit: 1 })
  return {
    name: 'mysql',
    at,
    words: MYSQL,
    positional: (text, values) => questionMarks({ text, values }),
    sql: async (asked, bound = []) => {
      const { text, values } = questionMarks({ text: asked, values: bound })
      const [rows] = await pool.execute(text, values as never)
      return (Array.isArray(rows) ? rows : []) as never
    },
    close: () => pool.end(),
  }
}

/** What both libraries have. */
interface Sqlite {
  pragma(text: string): unknown
  prepare(text: string): {
    readonly reader: boolean
    all(...values: unknown[]): unknown[]
    run(...values: unknown[]): unknown
  }
  close(): unknown
}

/**
 * @param open - with the library of the store: two builds of SQLite in one process do not see each other's locks, and
 *   one writes into the transaction that the other has open, which then is overwritten
 */
export function onSqlite(
  open: (file: string) => Sqlite = (file) => new BetterSqlite3(file),
): Engine {
  const folder = mkdtempSync(join(tmpdir(), 'pawl-sqlite-'))
  const at = join(folder, 'test.db')
  const db = open(at)
  db.pragma('journal_mode = wal')
  db.pragma('busy_timeout = 5000')
  return {
    name: 'sqlite',
    at,
    words: SQLITE,
    positional: (text, values) => questionMarks({ text, values }),
    sql: (asked, bound = []) =>
      Promise.resolve().then(() => {
        const { text, values } = questionMarks({ text: asked, values: bound })
        const statement = db.prepare(text)
        if (statement.reader) return statement.all(...values) as never
        statement.run(...values)
        return [] as never
      }),
    close: () => {
      db.close()
      rmSync(folder, { recursive: true })
      return Promise.resolve()
    },
  }
}

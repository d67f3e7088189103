/** `pawl/drizzle` under the contract suite, over each of its drivers. */
import BetterSqlite3 from 'better-sqlite3'
import { sql } from 'drizzle-orm'
import { drizzle as onBetterSqlite3 } from 'drizzle-orm/better-sqlite3'
import { drizzle as onMysql2 } from 'drizzle-orm/mysql2'
import { drizzle as onNodePostgres } from 'drizzle-orm/node-postgres'
import { drizzle as onPostgresJs } from 'drizzle-orm/postgres-js'
import mysql2 from 'mysql2/promise'
import pg from 'pg'
import postgres from 'postgres'
import { drizzleStore } from '../../src/databases/drizzle.ts'
import { isBehindPooler } from '../support/elsewhere.ts'
import type { Engine } from './engines.ts'
import {
  freshTable,
  inWordsOfSuite,
  opened,
  type Queries,
  type SqlStoreUnderTest,
} from './store-under-test.ts'

export type DrizzleDriver = 'node-postgres' | 'postgres-js' | 'mysql2' | 'better-sqlite3'

function connect(driver: DrizzleDriver, at: string) {
  switch (driver) {
    case 'node-postgres': {
      const pool = new pg.Pool({ connectionString: at })
      return { db: onNodePostgres(pool), end: () => pool.end() }
    }
    case 'postgres-js': {
      const client = postgres(at, { onnotice: () => undefined, prepare: !isBehindPooler() })
      return { db: onPostgresJs(client), end: () => client.end() }
    }
    case 'mysql2': {
      const pool = mysql2.createPool({ uri: at })
      return { db: onMysql2(pool), end: () => pool.end() }
    }
    case 'better-sqlite3': {
      const client = new BetterSqlite3(at)
      return { db: onBetterSqlite3(client), end: () => Promise.resolve(void client.close()) }
    }
  }
}

interface Asked {
  execute?(query: unknown): Promise<unknown>
  run?(query: unknown): unknown
}

/** `$1` or `?`: Drizzle's own template, piece by piece. */
function templated(text: string, values: readonly unknown[]) {
  const pieces = text.split(/\$(\d+)/)
  return sql.join(
    pieces.map((piece, at) => (at % 2 === 0 ? sql.raw(piece) : sql`${values[Number(piece) - 1]}`)),
  )
}

function queriesOf(tx: Asked): Queries {
  return {
    query: async (text, values = []) => {
      const query = templated(text, values)
      try {
        await (tx.execute === undefined
          ? Promise.resolve().then(() => tx.run?.(query))
          : tx.execute(query))
      } catch (error) {
        throw Object.assign(error as Error, { code: codeOf(error) })
      }
      return { rows: [] }
    },
  }
}

/** Drizzle wraps what its driver threw. */
function codeOf(error: unknown): unknown {
  const { cause, code } = error as { cause?: { code?: unknown }; code?: unknown }
  return cause?.code ?? code
}

export async function openDrizzle(
  driver: DrizzleDriver,
  engine: Engine,
): Promise<SqlStoreUnderTest> {
  const { db, end: endDb } = connect(driver, engine.at)
  const table = freshTable()
  const store = inWordsOfSuite(drizzleStore(db, { table }) as never, {
    queries: (tx: Asked) => queriesOf(tx),
  })
  const end = async (): Promise<void> => {
    await endDb()
    await engine.close()
  }
  return await opened({ table, store, sql: engine.sql, words: engine.words, end })
}

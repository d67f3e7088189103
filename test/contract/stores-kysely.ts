/** `pawl/kysely` under the contract suite, on each of its engines. Its plugins rename columns, and must not matter. */
import BetterSqlite3 from 'better-sqlite3'
import {
  CamelCasePlugin,
  CompiledQuery,
  type Dialect,
  Kysely,
  MysqlDialect,
  PostgresDialect,
  SqliteDialect,
} from 'kysely'
import { createPool } from 'mysql2'
import pg from 'pg'
import { kyselyStore } from '../../src/databases/kysely.ts'
import type { Engine } from './engines.ts'
import { freshTable, inWordsOfSuite, opened, type SqlStoreUnderTest } from './store-under-test.ts'

function dialectOn({ name, at }: Engine): Dialect {
  switch (name) {
    case 'postgres': {
      const pool = new pg.Pool({ connectionString: at })
      // As docs/databases.md says: Kysely listens to no errors of its clients, and hides its pool.
      pool.on('error', () => undefined)
      pool.on('connect', (client) => client.on('error', () => undefined))
      return new PostgresDialect({ pool })
    }
    case 'mysql':
      return new MysqlDialect({ pool: createPool({ uri: at }) })
    case 'sqlite':
      return new SqliteDialect({ database: new BetterSqlite3(at) })
  }
}

export async function openKysely(engine: Engine): Promise<SqlStoreUnderTest> {
  const db = new Kysely<Record<string, never>>({
    dialect: dialectOn(engine),
    plugins: [new CamelCasePlugin()],
  })
  const table = freshTable()
  const store = inWordsOfSuite(kyselyStore(db, { table }), {
    queries: (tx) => ({
      query: async (asked, bound = []) => {
        const { text, values } = engine.positional(asked, bound)
        const { rows } = await tx.executeQuery(CompiledQuery.raw(text, values))
        return { rows }
      },
    }),
  })
  const end = async (): Promise<void> => {
    await db.destroy()
    await engine.close()
  }
  return await opened({ table, store, sql: engine.sql, words: engine.words, end })
}

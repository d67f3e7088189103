/** `pawl/mysql2` and `pawl/mariadb` under the contract suite, on MariaDB. */
import * as mariadb from 'mariadb'
import mysql2 from 'mysql2/promise'
import { inject } from 'vitest'
import { mariadbStore } from '../../src/databases/mariadb.ts'
import { mysql2Store } from '../../src/databases/mysql2.ts'
import { questionMarks } from '../../src/sql/placeholders.ts'
import {
  freshTable,
  inWordsOfSuite,
  opened,
  type Queries,
  type SqlStoreUnderTest,
} from './store-under-test.ts'
import { MYSQL } from './words.ts'

/** Both libraries, asked alike. */
interface Asked {
  execute(text: string, values: never[]): Promise<unknown>
}

/** @param uri - that of the run by default */
export async function openMysql2(uri: string = inject('mariaDbUrl')): Promise<SqlStoreUnderTest> {
  const server = { uri, connectionLimit: 10 }
  const pool = mysql2.createPool(server)
  const reading = mysql2.createPool(server)
  reading.pool.on('connection', (connection) => {
    connection.query('set session transaction read only')
  })
  const table = freshTable()
  const rowsOf = (answer: unknown) => (answer as unknown[])[0]
  const store = inWordsOfSuite(mysql2Store(pool, { table }), {
    queries: (tx) => queriesOf(tx, rowsOf),
  })
  const sql = sqlOf(queriesOf(pool, rowsOf))
  const readOnly = () => inWordsOfSuite(mysql2Store(reading, { table }), {})
  const end = async (): Promise<void> => {
    await reading.end()
    await pool.end()
  }
  return await opened({ table, store, sql, words: MYSQL, readOnly, end })
}

export async function openMariadb(): Promise<SqlStoreUnderTest> {
  const url = inject('mariaDbUrl').replace('mysql:', 'mariadb:')
  const pool = mariadb.createPool(url)
  const table = freshTable()
  const store = inWordsOfSuite(mariadbStore(pool, { table }), {
    queries: (tx) => queriesOf(tx, (answer) => answer),
  })
  const sql = sqlOf(queriesOf(pool, (answer) => answer))
  return await opened({ table, store, sql, words: MYSQL, end: () => pool.end() })
}

function queriesOf(asked: Asked, rowsOf: (answer: unknown) => unknown): Queries {
  return {
    query: async (statement, bound = []) => {
      const { text, values } = questionMarks({ text: statement, values: bound })
      const rows = rowsOf(await asked.execute(text, values as never[]))
      return { rows: Array.isArray(rows) ? (rows as unknown[]) : [] }
    },
  }
}

function sqlOf(queries: Queries): SqlStoreUnderTest['sql'] {
  return async (text, values) => (await queries.query(text, values)).rows as never
}

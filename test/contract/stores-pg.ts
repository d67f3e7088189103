/** `pawl/pg` and `pawl/pglite` under the contract suite. */
import { PGlite } from '@electric-sql/pglite'
import pg from 'pg'
import { inject } from 'vitest'
import { pgliteStore } from '../../src/databases/pglite.ts'
import { pgStore } from '../../src/databases/pg.ts'
import { freshTable, inWordsOfSuite, opened, type SqlStoreUnderTest } from './store-under-test.ts'

/** Where it is, and where it can only be read. */
interface PgServer {
  readonly at: string
  readonly toRead: pg.PoolConfig
}

const ofRun = (): PgServer => ({
  at: inject('postgresUrl'),
  toRead: {
    connectionString: inject('postgresUrl'),
    options: '-c default_transaction_read_only=on',
  },
})

export async function openPg(
  pipeline: boolean,
  { at, toRead }: PgServer = ofRun(),
): Promise<SqlStoreUnderTest> {
  const pool = new pg.Pool({ connectionString: at, pipeline })
  const reading = new pg.Pool({ ...toRead, pipeline })
  const table = freshTable()
  const store = inWordsOfSuite(pgStore(pool, { table }), {})
  const sql: SqlStoreUnderTest['sql'] = async (text, values) =>
    (await pool.query(text, values)).rows as never
  const readOnly = () => inWordsOfSuite(pgStore(reading, { table }), {})
  const end = async (): Promise<void> => {
    await reading.end()
    await pool.end()
  }
  return await opened({ table, store, sql, readOnly, end })
}

export async function openPglite(): Promise<SqlStoreUnderTest> {
  const db = await PGlite.create()
  const table = freshTable()
  const store = inWordsOfSuite(pgliteStore(db, { table }), {})
  const sql: SqlStoreUnderTest['sql'] = async (text, values) =>
    (await db.query(text, values)).rows as never
  return await opened({ table, store, sql, end: () => db.close() })
}

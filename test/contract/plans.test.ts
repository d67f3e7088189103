/**
 * Goal: every statement finds its records by the primary key, whatever the statistics were when its plan was made. A
 * prepared statement keeps its plan: one that reads the whole table because it was small would ruin the next rush.
 * Method: the generic plans of all statements on a table that was just vacuumed empty, and on one with many records.
 */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { pgStore } from '../../src/databases/pg.ts'
import { postgres } from '../../src/sql/postgres.ts'

const TABLE = `plans_${process.pid}`

describe.each([
  ['vacuumed empty', 0],
  ['of a hundred records', 100],
  ['of fifty thousand', 50_000],
])('a table %s', (_, records) => {
  let pool: pg.Pool
  beforeAll(async () => {
    pool = new pg.Pool({ connectionString: inject('postgresUrl'), max: 1 })
    await pgStore(pool, { table: TABLE }).migrate()
    await pool.query(
      `insert into ${TABLE} (id, idempotency_key, scope, operation, fingerprint, expires_at)
       select 'ikey_' || md5(n::text), n, 's', 'o', 'f', clock_timestamp() + n * interval '1 s' from generate_series(1, $1) n`,
      [records],
    )
    await pool.query(`vacuum analyze ${TABLE}`)
  })
  afterAll(async () => {
    await pool.query(`drop table ${TABLE}, ${TABLE}_migration`)
    await pool.end()
  })

  const texts = postgres.statements(`"${TABLE}"`)
  const scans = Object.entries(texts).filter(([name]) => name !== 'limitLockWait')
  test.each(scans)('%s', async (name, text) => {
    const { rows } = await pool.query<{ 'QUERY PLAN': string }>(`explain (generic_plan) ${text}`)
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n')
    expect(plan).not.toMatch(/Seq Scan on/)
    if (name !== 'claim') expect(plan).toMatch(/Index|Tid/)
  })
})

/**
 * Goal: every statement finds its records by the primary key, whatever the statistics were when its plan was made. A
 * prepared statement keeps its plan: one that reads the whole table because it was small would ruin the next rush.
 * Method: the generic plans of all statements on a table that was just vacuumed empty, and on one with many records.
 */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { pgStore } from '../../src/databases/pg.ts'
import { keyTable } from '../../src/sql/key-table.ts'
import { keyTableMigration } from '../../src/sql/key-table-migration.ts'
import { postgresTexts } from '../../src/sql/postgres.ts'

const TABLE = `plans_${process.pid}`
const SERVICE_TABLE = `plans_service_${process.pid}`

describe.each([
  ['vacuumed empty', 0],
  ['of a hundred records', 100],
  ['of ten thousand', 10_000],
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
    await pool.query(
      `insert into ${TABLE}_backlog (id, operation, due_at, created_at)
       select id, 'o' || hashtext(id) % 3, expires_at, clock_timestamp() from ${TABLE}`,
    )
    await pool.query(`vacuum analyze ${TABLE}`)
    await pool.query(`vacuum analyze ${TABLE}_backlog`)
    const { create, adopt } = keyTableMigration(SERVICE_TABLE)
    for (const statement of [...create, ...adopt]) await pool.query(statement)
    await pool.query(
      `insert into ${SERVICE_TABLE} (id, idempotency_key)
       select md5(n::text), md5('key' || n) from generate_series(1, $1) n`,
      [records],
    )
    await pool.query(`vacuum analyze ${SERVICE_TABLE}`)
  })
  afterAll(async () => {
    await pool.query(`drop table ${TABLE}, ${TABLE}_backlog, ${TABLE}_migration, ${SERVICE_TABLE}`)
    await pool.end()
  })

  const planOf = async (text: string): Promise<string> => {
    const { rows } = await pool.query<{ 'QUERY PLAN': string }>(`explain (generic_plan) ${text}`)
    return rows.map((row) => row['QUERY PLAN']).join('\n')
  }

  const texts = postgresTexts(`"${TABLE}"`)
  const scans = Object.entries(texts).filter(([name]) => name !== 'limitLockWait')
  test.each(scans)('%s', async (name, text) => {
    const plan = await planOf(text)
    expect(plan).not.toMatch(/Seq Scan on/)
    if (!name.startsWith('claim')) expect(plan).toMatch(/Index|Tid/)
  })

  const { advance, finish, insert, insertAll, update, ...found } = keyTable(SERVICE_TABLE, true)
  const ofService = Object.entries({
    ...found,
    ...prefixed('advance', advance),
    ...prefixed('finish', finish),
    update: update(['recovery_point', 'response_code', 'response_body']),
  })
  test.each(ofService)('of the service: %s', async (name, text) => {
    const plan = await planOf(text)
    expect(plan).not.toMatch(/Seq Scan on/)
    // By place at SERIALIZABLE: the reading of an index is what other requests would be in conflict with.
    expect(plan).toMatch(/place/i.test(name) ? /Tid Scan/ : /Index|Tid/)
  })
  test.each(Object.entries({ insert, insertAll }))('of the service: %s', async (_name, text) => {
    expect(await planOf(text)).not.toMatch(/Seq Scan on/)
  })
})

function prefixed(name: string, texts: object): Record<string, string> {
  return Object.fromEntries(
    Object.entries(texts).map(([way, text]) => [`${name}, ${way}`, text as string]),
  )
}

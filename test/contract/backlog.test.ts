/**
 * Goal: `due` on PostgreSQL never removes the entry of an execution that began while it looked. Method: its statement
 * stands still between its snapshot and its locks, and the record begins anew meanwhile.
 */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { pgStore } from '../../src/databases/pg.ts'
import { postgresTexts } from '../../src/sql/postgres.ts'

const TABLE = `backlog_${process.pid}`
const TASK = { version: '1', input: '1', principal: undefined, dueMs: 0 }

describe('on PostgreSQL', () => {
  let pool: pg.Pool
  beforeAll(async () => {
    pool = new pg.Pool({ connectionString: inject('postgresUrl') })
    await pgStore(pool, { table: TABLE }).migrate()
  })
  afterAll(async () => {
    await pool.query(`drop table ${TABLE}, ${TABLE}_backlog, ${TABLE}_migration`)
    await pool.end()
  })

  test('a record that begins anew while it is looked at keeps its entry', async () => {
    const store = pgStore(pool, { table: TABLE })
    const hold = { id: 'ikey_1', owner: 'me', attempt: 1 }
    const request = { fingerprint: 'v1:x', method: undefined, path: undefined, task: TASK }
    const times = { leaseMs: 10_000, retentionMs: 60_000 }
    const about = { scope: 's', operation: 'o', key: 'k' }
    await store.claim({ ...hold, ...about, ...request, ...times })
    const outcome = { status: 200, headers: [], body: undefined }
    const seen = { from: 'started', revision: 0 }
    await store.write(hold, { kind: 'finish', ...seen, outcome, retentionMs: 60_000 })
    await pool.query(`update ${TABLE} set expires_at = now() - interval '1 hour'`)

    const { due } = postgresTexts(`"${TABLE}"`)
    const late = due.replace(
      '(select clock_timestamp())',
      '(select clock_timestamp() from pg_sleep(1))',
    )
    expect(late).not.toBe(due)
    const looking = pool.query<{ tries: number | null }>(late, ['o', 10, 0])
    await expect
      .poll(() => pool.query(`select 1 from pg_stat_activity where wait_event = 'PgSleep'`))
      .toMatchObject({ rowCount: 1 })
    const anew = await store.reset({ ...hold, revision: 1, ...about, ...request, ...times })
    expect(anew).toMatchObject({ attempt: 2, version: '1' })
    // It saw the record finished, and the entry that is not that record's.
    expect((await looking).rows).toMatchObject([{ tries: null }])
    expect(await store.backlog?.due('o', 10, 0)).toMatchObject({
      seen: 1,
      records: [{ tries: 0, record: { id: 'ikey_1', state: 'running', attempt: 2 } }],
    })
  })
})

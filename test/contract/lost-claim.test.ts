/**
 * Goal: a claim that neither sees a record nor inserts one looks again, and says what is there then. Method: another
 * transaction has inserted the record and not committed when the claim is sent, as another process's claim may have.
 */
import pg from 'pg'
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest'
import { pgStore } from '../../src/databases/pg.ts'
import { createIdempotency } from '../../src/index.ts'

const TABLE = `lost_claim_${process.pid}`

let pool: pg.Pool
beforeAll(async () => {
  pool = new pg.Pool({ connectionString: inject('postgresUrl'), application_name: TABLE })
  await pgStore(pool, { table: TABLE }).migrate()
})
afterAll(async () => {
  await pool.query(`drop table ${TABLE}, ${TABLE}_backlog, ${TABLE}_migration`)
  await pool.end()
})

/** Asks for a key whose record is on its way, and lets that commit while the claim waits for it. */
async function askedWhileInserted(key: string, state: 'finished' | 'running') {
  const idempotency = createIdempotency({ store: pgStore(pool, { table: TABLE }) })
  const request = { operation: 'book', scope: 's', key, input: { seat: 4 } }
  let runs = 0
  const ask = () => idempotency.run(request, () => ({ status: 201, body: `run ${String(++runs)}` }))
  const { id } = await ask()
  const { rows } = await pool.query<{ record: string }>(
    `delete from ${TABLE} k where id = $1 returning row_to_json(k)::text as record`,
    [id],
  )
  const other = await pool.connect()
  await other.query('begin')
  await other.query(
    `insert into ${TABLE} select * from json_populate_record(null::${TABLE}, $1::json)`,
    [rows[0]?.record],
  )
  if (state === 'running') {
    await other.query(
      `update ${TABLE} set state = 'running', locked_until = clock_timestamp() + interval '1 min' where id = $1`,
      [id],
    )
  }
  const asked = ask()
  const waits = `select 1 from pg_stat_activity where application_name = $1 and wait_event_type = 'Lock'`
  await vi.waitFor(async () => expect((await pool.query(waits, [TABLE])).rowCount).toBe(1))
  return { asked, other, runs: () => runs }
}

test('29 · the winner has finished by then → replay, not 409', async () => {
  const { asked, other, runs } = await askedWhileInserted('finished', 'finished')
  await other.query('commit')
  other.release()
  expect(await asked).toMatchObject({ kind: 'finished', replayed: true })
  expect(runs()).toBe(1)
})

test('26 · the winner runs → in progress', async () => {
  const { asked, other, runs } = await askedWhileInserted('running', 'running')
  await other.query('commit')
  other.release()
  expect(await asked).toMatchObject({ kind: 'in_progress' })
  expect(runs()).toBe(1)
})

test('29 · the winner has rolled back → claimed, executed', async () => {
  const { asked, other, runs } = await askedWhileInserted('rolled-back', 'finished')
  await other.query('rollback')
  other.release()
  expect(await asked).toMatchObject({ kind: 'finished', replayed: false })
  expect(runs()).toBe(2)
})

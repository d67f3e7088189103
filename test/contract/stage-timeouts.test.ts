/**
 * Goal: a stage on PostgreSQL waits for nothing longer than its lease, and nobody waits longer for it: what a process that
 * was stopped has locked is free again. Method: real servers; stages that are silent, slow, or wait for a lock.
 */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test, vi } from 'vitest'
import { systemRuntime } from '../../src/core/runtime.ts'
import { betterSqlite3Store } from '../../src/databases/better-sqlite3.ts'
import { pgStore, type PgStoreOptions } from '../../src/databases/pg.ts'
import { createIdempotency, type IdempotencyOptions } from '../../src/index.ts'
import { engineOf } from './engine-of.ts'
import { freshTable } from './store-under-test.ts'
import { type SqlStoreUnderTest, STORES } from './stores.ts'

const LIMITS = ['lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout']
/** One row, each limit in its own column. */
const SHOW = `select ${LIMITS.map((name) => `current_setting('${name}') as ${name}`).join(', ')}`
const limits = (lock: string, statement: string, idle: string) =>
  Object.fromEntries(LIMITS.map((name, at) => [name, [lock, statement, idle][at]]))

/** A process: a pool and an idempotency of its own. */
async function process(
  options: PgStoreOptions & { config?: pg.PoolConfig; table?: string } = {},
  more: Partial<IdempotencyOptions<never, never>> = {},
) {
  const { config, table = freshTable(), ...rest } = options
  const pool = new pg.Pool({ connectionString: inject('postgresUrl'), ...config })
  const store = pgStore(pool, { table, ...rest })
  await store.migrate()
  const idempotency = createIdempotency({ store, lease: '10s', ...more })
  onTestFinished(async () => {
    await idempotency.close({ wait: 0 })
    await pool.end()
  })
  let keys = 0
  const request = (key = `k${String(++keys)}`) => ({
    operation: 'o',
    scope: 's',
    key,
    input: null,
  })
  return { pool, table, idempotency, request }
}

type Process = Awaited<ReturnType<typeof process>>

function gate() {
  let open = (): void => undefined
  const passed = new Promise<void>((resolve) => {
    open = resolve
  })
  return { passed, open }
}

/** The limits, as a stage of a process saw them. */
async function limitsSeen({ idempotency, request }: Process): Promise<unknown> {
  let value: unknown
  await idempotency.run(request(), async (_, run) => {
    value = await run.stage('seen', async (tx) => (await tx.query(SHOW)).rows[0])
  })
  return value
}

const TEN = limits('10s', '10s', '10s')

describe.each([false, true])('pawl/pg, pipeline: %s', (pipeline) => {
  const config = { pipeline }

  test('the limits of a stage are its lease, and those of the session stay as they were', async () => {
    const one = await process({ config: { ...config, max: 1 } })
    expect(await limitsSeen(one)).toEqual(TEN)
    const other = await process({ config }, { lease: '1500ms' })
    expect(await limitsSeen(other)).toEqual(limits('1500ms', '1500ms', '1500ms'))
    expect(await limitsSeen(one)).toEqual(TEN)
    expect((await one.pool.query(SHOW)).rows).toEqual([limits('0', '0', '0')])
  })

  test('a shorter limit of the role or the connection stays, a longer one does not', async () => {
    const options = '-c lock_timeout=50ms -c statement_timeout=1min'
    const one = await process({ config: { ...config, options } })
    expect(await limitsSeen(one)).toEqual(limits('50ms', '10s', '10s'))
  })

  test('those that are given count as they are, `false` for one of them leaves it alone', async () => {
    const stageTimeouts = { lock: 70, statement: '1m', idle: false } as const
    const one = await process({ config, stageTimeouts })
    expect(await limitsSeen(one)).toEqual(limits('70ms', '1min', '0'))
  })

  test('`false` sets none, and a request without a lease has none', async () => {
    const none = await process({ config, stageTimeouts: false })
    expect(await limitsSeen(none)).toEqual(limits('0', '0', '0'))
    const one = await process({ config })
    const { rows } = await one.idempotency.engine.store.transaction(
      { isolation: undefined },
      (tx) => tx.query(SHOW),
    )
    expect(rows).toEqual([limits('0', '0', '0')])
  })

  test('a stage may still begin with SET TRANSACTION', async () => {
    const one = await process({ config })
    const level = await one.idempotency.run(one.request(), async (_, run) => ({
      body: await run.stage('level', async (tx) => {
        await tx.query('set transaction isolation level repeatable read')
        return (await tx.query<{ transaction_isolation: string }>('show transaction_isolation'))
          .rows[0]?.transaction_isolation
      }),
    }))
    expect(level).toMatchObject({ outcome: { body: Buffer.from('repeatable read') } })
  })

  test('a statement that takes longer → tried again, and in the end an error that names the option', async () => {
    const one = await process({ config, stageTimeouts: { statement: 30 } })
    const slow = (key: string) =>
      one.idempotency.run(one.request(key), (_, run) =>
        run.finish(async (tx) => {
          await tx.query('select pg_sleep(0.3)')
          return { status: 201 }
        }),
      )
    await expect(slow('slow')).rejects.toMatchObject({
      code: 'stage_aborted',
      message: expect.stringMatching(/5 times.*stageTimeouts\.statement/) as string,
    })
    const patient = await process(
      { config, table: one.table, stageTimeouts: { statement: '10s' } },
      { lease: '200ms' },
    )
    expect(
      await patient.idempotency.run(patient.request('slow'), (_, run) =>
        run.finish(async (tx) => {
          await tx.query('select pg_sleep(0.3)')
          return { status: 201 }
        }),
      ),
    ).toMatchObject({ kind: 'finished' })
  })

  test('a lock that is not had in time → an error that names the option', async () => {
    const one = await process({ config, stageTimeouts: { lock: 30 } })
    await one.pool.query(
      `create table ${one.table}_ride (n int); insert into ${one.table}_ride values (1)`,
    )
    const holder = await one.pool.connect()
    await holder.query(`begin; update ${one.table}_ride set n = 2`)
    const waiting = one.idempotency.run(one.request(), (_, run) =>
      run.stage('a', async (tx) => void (await tx.query(`update ${one.table}_ride set n = 3`))),
    )
    await expect(waiting).rejects.toMatchObject({
      code: 'stage_aborted',
      message: expect.stringContaining('stageTimeouts.lock') as string,
    })
    await holder.query('rollback')
    holder.release()
  })

  test('a stage that is silent for longer → its session ends; an error that names the option, in the end', async () => {
    const one = await process({ config, stageTimeouts: { idle: 30 } })
    const ended: number[] = []
    one.pool.on('remove', () => void ended.push(1))
    const silent = one.idempotency.run(one.request(), (_, run) =>
      run.stage('a', async (tx) => {
        await tx.query('select 1')
        await new Promise((resolve) => (tx as unknown as pg.Client).once('end', resolve))
        await tx.query('select 2')
      }),
    )
    await expect(silent).rejects.toMatchObject({
      code: 'stage_aborted',
      message: expect.stringContaining('stageTimeouts.idle') as string,
    })
    expect(ended).toHaveLength(5)
  })

  test('a process that was stopped inside a stage loses its locks, and whoever takes over finishes', async () => {
    let isStopped = false
    const runtime = {
      ...systemRuntime,
      timer: (ms: number, call: () => void, background?: boolean) =>
        systemRuntime.timer(ms, () => void (isStopped || call()), background),
    }
    const zombie = await process({ config }, { lease: '1s', runtime })
    const ride = `${zombie.table}_ride`
    await zombie.pool.query(`create table ${ride} (n int); insert into ${ride} values (0)`)
    const locked = gate()
    const wakes = gate()
    const dead = zombie.idempotency.run(zombie.request('ride'), (_, run) =>
      run.finish(async (tx) => {
        await tx.query(`update ${ride} set n = n + 1`)
        isStopped = true
        locked.open()
        await wakes.passed
        await tx.query(`update ${ride} set n = n + 100`)
        return { body: 'zombie' }
      }),
    )
    dead.catch(() => undefined)
    await locked.passed
    const { idempotency, request } = await process({ config, table: zombie.table }, { lease: '1s' })
    const next = await vi.waitFor(
      async () => {
        const answer = await idempotency.run(request('ride'), (_, run) =>
          run.finish(async (tx) => {
            await tx.query(`update ${ride} set n = n + 10`)
            return { body: 'successor' }
          }),
        )
        expect(answer.kind).toBe('finished')
        return answer
      },
      { timeout: 20_000 },
    )
    expect(next).toMatchObject({ kind: 'finished', outcome: { body: Buffer.from('successor') } })
    isStopped = false
    wakes.open()
    await expect(dead).rejects.toMatchObject({ code: 'lease_lost' })
    expect((await zombie.pool.query(`select n from ${ride}`)).rows).toEqual([{ n: 10 }])
  })
})

test('the limits cost pawl/pg no round trip: what a stage sends is two messages', async () => {
  const one = await process({ config: { max: 1 } })
  await limitsSeen(one)
  const sent: unknown[] = []
  const client = await one.pool.connect()
  const query = vi.spyOn(client, 'query')
  client.release()
  await one.idempotency.run(one.request(), (_, run) =>
    run.finish(async (tx) => {
      sent.push(query.mock.calls.length) // The claim.

      query.mockClear()
      await tx.query('select $1::int', [1]) // And with it BEGIN and the limits.
      sent.push(query.mock.calls.length)
      return {}
    }),
  )
  expect([sent, query.mock.calls.length]).toEqual([[1, 1], 2])
})

test.each([
  [{ lock: '0ms' }, /stageTimeouts\.lock/],
  [{ idle: 'soon' }, /stageTimeouts\.idle/],
  ['30s', /stageTimeouts/],
])('%j is refused at the start', (stageTimeouts, message) => {
  const pool = new pg.Pool()
  expect(() => pgStore(pool, { stageTimeouts } as never)).toThrow(message)
})

test('where no server could keep them they are refused, and `false` is taken', () => {
  const make = (stageTimeouts: unknown) => () =>
    betterSqlite3Store(
      { pragma: () => [], prepare: () => undefined } as never,
      { stageTimeouts } as never,
    )
  expect(make({ lock: '1s' })).toThrow(/stageTimeouts: they are limits/)
  expect(make(false)).not.toThrow()
})

const LIBRARIES = STORES.filter(([name]) => engineOf(name) === 'postgres')

describe.each(LIBRARIES)('%s', (name, open) => {
  let under: SqlStoreUnderTest
  beforeAll(async () => {
    under = await open()
  })
  afterAll(() => under.close())

  test('a stage has its limits', async () => {
    const idempotency = createIdempotency({ store: under.store, lease: '7s' })
    onTestFinished(() => idempotency.close({ wait: 0 }))
    const request = { operation: 'o', scope: 's', key: 'limits', input: null }
    const idle = /kysely|postgres[.-]js/.test(name) ? '0' : '7s'
    await idempotency.run(request, (_, run) =>
      run.stage('a', (tx) =>
        // Not all of them give rows here: what is not so divides by zero.
        tx
          .query(
            `select 1 / (case when current_setting('lock_timeout') = '7s'
                             and current_setting('statement_timeout') = '7s'
                             and current_setting('idle_in_transaction_session_timeout') = '${idle}'
                       then 1 else 0 end)`,
          )
          .then(() => undefined),
      ),
    )
  })
})

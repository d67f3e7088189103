/**
 * Goal: what a request costs in statements and round trips is known, and stays so: a change that adds one shows without
 * a clock. Method: one request at a time through a proxy that counts, on connections that are open and prepared.
 */
import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { pgStore } from '../../src/databases/pg.ts'
import { createIdempotency, type Idempotency } from '../../src/index.ts'
import { type CountingProxy, startCountingProxy } from '../support/counting-proxy.ts'

const TABLE = `trips_${process.pid}`
const ROWS = `trips_rows_${process.pid}`
const INSERT = `insert into ${ROWS} (note) values ($1)`

/** A stage sets three, behind BEGIN. */
const LIMITS = 3

let proxy: CountingProxy
let admin: pg.Pool

beforeAll(async () => {
  admin = new pg.Pool({ connectionString: inject('postgresUrl'), max: 1 })
  await pgStore(admin, { table: TABLE }).migrate()
  await admin.query(`create table ${ROWS} (note text)`)
  proxy = await startCountingProxy(Number(new URL(inject('postgresUrl')).port))
})

afterAll(async () => {
  proxy.close()
  await admin.query(`drop table ${TABLE}, ${TABLE}_backlog, ${TABLE}_migration, ${ROWS}`)
  await admin.end()
})

/** The handler the ordinary way. */
async function bare(pool: pg.Pool): Promise<void> {
  const client = await pool.connect()
  await client.query('begin')
  await client.query(INSERT, ['bare'])
  await client.query('commit')
  client.release()
}

describe.each([
  ['an ordinary pool', {}, { stage: 2, request: 3 }],
  ['a pool with pipelining', { pipeline: true }, { stage: 2, request: 3 }],
])('on %s', (_, options, { stage, request: whole }) => {
  let pool: pg.Pool
  let idempotency: Idempotency<pg.PoolClient>
  beforeAll(async () => {
    const url = new URL(inject('postgresUrl'))
    url.port = String(proxy.port)
    // One connection: no request finds one that has prepared nothing yet.
    pool = new pg.Pool({ connectionString: url.href, max: 1, idleTimeoutMillis: 0, ...options })
    idempotency = createIdempotency({ store: pgStore(pool, { table: TABLE }) })
    for (let nth = 0; nth < 3; nth++) {
      const key = randomUUID()
      for (let times = 0; times < 2; times++) await finishing(key)
      await responding(key)
      await staging(randomUUID(), 2)
    }
  })
  afterAll(async () => {
    await idempotency.close()
    await pool.end()
  })

  const request = (key: string) => ({ operation: 'book', scope: 's', key, input: { seat: 4 } })
  const finishing = (key: string = randomUUID()) =>
    idempotency.run(request(key), (__, run) =>
      run.finish(async (tx) => {
        await tx.query(INSERT, ['kept'])
        return { status: 201, body: 'booked' }
      }),
    )
  const responding = (key: string = randomUUID()) =>
    idempotency.run(request(key), () => ({ status: 201, body: 'booked' }))
  const staging = (key: string, stages: number) =>
    idempotency.run(request(key), async (__, run) => {
      for (let nth = 0; nth < stages; nth++)
        await run.stage(`stage${String(nth)}`, async (tx) => void (await tx.query(INSERT, ['x'])))
      return { status: 201 }
    })

  test('the handler alone: BEGIN, its statement, COMMIT', async () => {
    expect(await proxy.during(() => bare(pool))).toEqual({ roundTrips: 3, statements: 3 })
  })

  test('a first request with one transaction is as many round trips as the handler alone: BEGIN travels with its statement, the fence with COMMIT', async () => {
    expect(await proxy.during(() => finishing())).toEqual({
      roundTrips: whole,
      statements: 5 + LIMITS,
    })
  })

  test('a finish without a statement: a claim, and one message', async () => {
    const empty = () =>
      idempotency.run(request(randomUUID()), (__, run) => run.finish(() => ({ status: 201 })))
    expect(await proxy.during(empty)).toEqual({ roundTrips: 2, statements: 4 + LIMITS })
  })

  test('a response without a transaction: a claim, and its outcome', async () => {
    expect(await proxy.during(() => responding())).toEqual({ roundTrips: 2, statements: 2 })
  })

  test('a stage: BEGIN, its statement, the fence, COMMIT', async () => {
    const one = await proxy.during(() => staging(randomUUID(), 1))
    const three = await proxy.during(() => staging(randomUUID(), 3))
    expect(three.statements - one.statements).toBe(2 * (4 + LIMITS))
    expect(three.roundTrips - one.roundTrips).toBe(2 * stage)
  })

  test('a replay: one statement', async () => {
    const key = randomUUID()
    await finishing(key)
    expect(await proxy.during(() => finishing(key))).toEqual({ roundTrips: 1, statements: 1 })
  })

  test('another input under a used key: one statement', async () => {
    const key = randomUUID()
    await finishing(key)
    const other = () =>
      idempotency.run({ ...request(key), input: { seat: 5 } }, () => ({ status: 201 }))
    expect(await proxy.during(other)).toEqual({ roundTrips: 1, statements: 1 })
  })

  test('a duplicate of a request that is under way: one statement', async () => {
    const key = randomUUID()
    let passed: unknown
    await idempotency.run(request(key), async () => {
      passed = await proxy.during(() => responding(key))
      return { status: 201 }
    })
    expect(passed).toEqual({ roundTrips: 1, statements: 1 })
  })

  test('a hundred replays of one key at one time: two statements', async () => {
    const key = randomUUID()
    await finishing(key)
    const many = () => Promise.all(Array.from({ length: 100 }, () => finishing(key)))
    expect(await proxy.during(many)).toEqual({ roundTrips: 2, statements: 2 })
  })
})

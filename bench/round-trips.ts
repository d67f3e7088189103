/** What requests cost in messages to PostgreSQL and back, one at a time: counted, so the same on any machine. */
import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { createIdempotency } from 'pawl'
import { pgStore } from 'pawl/pg'
import { startCountingProxy } from '../test/support/counting-proxy.ts'
import { bookRide, RIDE } from './workloads.ts'

/** Messages to the database and back. Null: not counted. */
export interface RoundTrips {
  /** With one transaction of one statement. */
  readonly firstRequest: number | null
  readonly replay: number | null
  /** A duplicate of a request that is under way. */
  readonly conflict: number | null
  /** Of one statement. */
  readonly stage: number | null
  /** A claim and an outcome, without a transaction. */
  readonly finish: number | null
}

/** Counts on a pool with one connection, which is open and has prepared what it sends. */
export async function countRoundTrips(
  connectionString: string,
  options: pg.PoolConfig = {},
): Promise<RoundTrips> {
  const url = new URL(connectionString)
  const proxy = await startCountingProxy(Number(url.port))
  url.port = String(proxy.port)
  const pool = new pg.Pool({ connectionString: url.href, max: 1, idleTimeoutMillis: 0, ...options })
  const idempotency = createIdempotency({ store: pgStore(pool) })
  const count = async (work: () => Promise<unknown>): Promise<number> =>
    (await proxy.during(work)).roundTrips
  const respond = (key: string): Promise<unknown> =>
    idempotency.run({ ...RIDE, key }, () => ({ status: 201 }))
  const staged = (stages: number): Promise<unknown> =>
    idempotency.run({ ...RIDE, key: randomUUID() }, async (_, run) => {
      for (let nth = 0; nth < stages; nth++)
        await run.stage(`stage${String(nth)}`, async (tx) => void (await tx.query('select 1')))
    })
  const once = async (): Promise<RoundTrips> => {
    const key = randomUUID()
    const firstRequest = await count(() => bookRide(idempotency, key))
    const replay = await count(() => bookRide(idempotency, key))
    let conflict: number | null = null
    const held = randomUUID()
    await idempotency.run({ ...RIDE, key: held }, async () => {
      conflict = await count(() => respond(held))
    })
    const stage = -(await count(() => staged(1))) + (await count(() => staged(2)))
    const finish = await count(() => respond(randomUUID()))
    return { firstRequest, replay, conflict, stage, finish }
  }
  try {
    await once()
    return await once()
  } finally {
    await idempotency.close()
    await pool.end()
    proxy.close()
  }
}

/** Requests of different shapes, in alternating slices: larger responses, more stages, more of them at a time. */
import { randomBytes, randomUUID } from 'node:crypto'
import { createIdempotency } from 'pawl'
import { pgStore } from 'pawl/pg'
import { type GrowthGround, type Series, seriesOf } from './growth.ts'
import { measure, type Way } from './slices.ts'
import { assertReplayed, bookRide, RIDE } from './workloads.ts'

const BYTES = [100, 1_000, 10_000, 100_000, 1_000_000]
const RESPONSE_MAX = 2 ** 21
const SIZED_TABLE = 'bench_sizes'
const STAGES = [1, 2, 5, 10, 20, 50]
const CLIENTS = [1, 2, 8, 32, 128, 512]
const INSERT = 'insert into bench_ride (destination) values ($1)'

/** A first request and a replay, one client. The bytes are random: what repeats, the server would compress. */
export async function sizeSeries({ pool, slices, say }: GrowthGround): Promise<Series[]> {
  const store = pgStore(pool, { table: SIZED_TABLE })
  await store.migrate()
  const idempotency = createIdempotency({ store })
  const respond = async (key: string, text: string) =>
    await idempotency.run({ ...RIDE, key, responseMax: RESPONSE_MAX }, (_, run) =>
      run.finish(async (tx) => {
        await tx.query(INSERT, ['Oslo'])
        return { status: 201, body: { text } }
      }),
    )
  const bodies = BYTES.map((bytes) => randomBytes(Math.ceil(bytes * 0.75)).toString('base64'))
  const first = bodies.map((text, at): Way => ({
    name: `first, ${String(BYTES[at])} bytes`,
    request: async () => void (await respond(randomUUID(), text)),
    after: async () => void (await pool.query(`truncate ${SIZED_TABLE}`)),
  }))
  say('Responses of 100 bytes to 1 MB …')
  const options = { ...slices, concurrency: 1 }
  const firstRuns = await measure(first, options)
  const replays: Way[] = []
  for (const text of bodies) {
    const key = randomUUID()
    await respond(key, text)
    replays.push({
      name: 'replay',
      request: async () => assertReplayed(await respond(key, text)),
    })
  }
  const about = { of: 'bytes of the response', reference: 1_000 }
  return [
    seriesOf({ ...about, name: 'first request' }, BYTES, firstRuns),
    seriesOf({ ...about, name: 'replay, one key' }, BYTES, await measure(replays, options)),
  ]
}

/** Requests of one client, each stage one INSERT, and a finish without rows. */
export async function stagesSeries({ pool, slices, say }: GrowthGround): Promise<Series> {
  const idempotency = createIdempotency({ store: pgStore(pool) })
  const ways = STAGES.map((count): Way => ({
    name: `${String(count)} stages`,
    request: async () => {
      const result = await idempotency.run({ ...RIDE, key: randomUUID() }, async (_, run) => {
        for (let n = 1; n <= count; n++) {
          await run.stage(`stage_${String(n)}`, async (tx) => {
            await tx.query(INSERT, ['Oslo'])
            return { n }
          })
        }
        return { status: 201, body: { count } }
      })
      if (result.kind !== 'finished') throw new Error(`a fresh key was answered ${result.kind}`)
    },
  }))
  say('Requests of 1 to 50 stages …')
  const runs = await measure(ways, { ...slices, concurrency: 1 })
  return seriesOf({ name: 'request', of: 'stages', reference: 1 }, STAGES, runs)
}

/** First requests, on one pool. */
export async function concurrencySeries({ pool, slices, say }: GrowthGround): Promise<Series> {
  const idempotency = createIdempotency({ store: pgStore(pool) })
  const ways = CLIENTS.map((concurrency): Way => ({
    name: `${String(concurrency)} clients`,
    concurrency,
    request: async () => void (await bookRide(idempotency, randomUUID())),
  }))
  say('1 to 512 clients …')
  const runs = await measure(ways, { ...slices, concurrency: 1 })
  return seriesOf({ name: 'first request', of: 'clients', reference: 32 }, CLIENTS, runs)
}

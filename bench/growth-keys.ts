/** Tables of different sizes beside each other, worked on in alternating slices. */
import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { createIdempotency, type Store } from 'pawl'
import { pgStore } from 'pawl/pg'
import { claimWays } from './claims.ts'
import { anyOf, fill } from './fill.ts'
import { type GrowthGround, type Series, SERIES, seriesOf } from './growth.ts'
import { measure, type Run, type Way } from './slices.ts'
import { assertReplayed, bookRide } from './workloads.ts'

const REFERENCE = 10_000
const AT = 32
const REAPED = 1_000
const REAPED_TIMES = 3

interface Sized {
  readonly table: string
  readonly store: Store<pg.PoolClient>
  readonly replay: () => Promise<void>
}

/** What flatness is found by: a claim, and a replay. */
export async function ratioSeries(
  sizes: readonly number[],
  ground: GrowthGround,
): Promise<Series[]> {
  const tables = await filledAll(sizes, ground)
  return await claimsAndReplays({ sizes, tables }, ground)
}

/** And what a reaper and a completer cost when they look, and a thousand records reaped. */
export async function keysSeries(
  sizes: readonly number[],
  ground: GrowthGround,
): Promise<Series[]> {
  const tables = await filledAll(sizes, ground)
  const all = { sizes, tables }
  const looked = (name: string, request: (sized: Sized) => Promise<unknown>): Promise<Series> =>
    measured(all, ground, { name, concurrency: 1, ways: tables.map((one) => wayOf(one, request)) })
  return [
    ...(await claimsAndReplays(all, ground)),
    await looked('reaper, nothing expired', ({ store }) => store.reap(REAPED, 0)),
    await looked('completer, nothing due', async ({ store }) =>
      store.backlog?.due('create-ride', 16, 30_000),
    ),
    await reaping(all, ground),
  ]
}

/** The tables of all sizes, in their order. */
interface All {
  readonly sizes: readonly number[]
  readonly tables: readonly Sized[]
}

async function claimsAndReplays(all: All, ground: GrowthGround): Promise<Series[]> {
  const { tables } = all
  const claims = tables.map((one) => claimWay(ground.pool, one))
  const replays = tables.map((one) => wayOf(one, ({ replay }) => replay()))
  return [
    await measured(all, ground, { name: SERIES.claim, concurrency: AT, ways: claims }),
    await measured(all, ground, { name: SERIES.replay, concurrency: AT, ways: replays }),
  ]
}

/** @param ways - one a table */
async function measured(
  { sizes }: All,
  { slices, say }: GrowthGround,
  { name, concurrency, ways }: { name: string; concurrency: number; ways: readonly Way[] },
): Promise<Series> {
  say(`${name}, tables of ${sizes.map((size) => size.toLocaleString('en')).join(', ')} …`)
  const runs = await measure(ways, { ...slices, concurrency })
  return seriesOf({ name, of: 'keys', reference: REFERENCE }, sizes, runs)
}

function wayOf(sized: Sized, request: (sized: Sized) => Promise<unknown>): Way {
  return { name: sized.table, request: async () => void (await request(sized)) }
}

async function filledAll(
  sizes: readonly number[],
  { pool, say }: GrowthGround,
): Promise<readonly Sized[]> {
  const tables: Sized[] = []
  for (const size of sizes) {
    say(`Filling a table with ${size.toLocaleString('en')} records …`)
    tables.push(await filled(pool, size))
  }
  // What the filling left is on disk before anything is measured.
  await pool.query('checkpoint')
  return tables
}

async function filled(pool: pg.Pool, size: number): Promise<Sized> {
  const table = `bench_keys_${String(size)}`
  const keyOf = (at: number): string => `key-${String(at)}`
  await fill(pool, { table, keyOf, count: size })
  const store = pgStore(pool, { table })
  const idempotency = createIdempotency({ store })
  return {
    table,
    store,
    replay: async () => assertReplayed(await bookRide(idempotency, anyOf(keyOf, size))),
  }
}

/** What a slice has inserted is taken away behind it: a table of a thousand keys stays one. */
function claimWay(pool: pg.Pool, { table, store }: Sized): Way {
  const [, { request }] = claimWays(table, '', {
    claim: (claim) => store.claim(claim),
    insert: () => undefined,
  })
  return {
    name: table,
    request,
    after: async () => {
      await pool.query(`delete from ${table} where state = 'running'`)
      await pool.query(`vacuum ${table}`)
    },
  }
}

/** Passes of a thousand expired records each; a rate is of records. */
async function reaping({ sizes, tables }: All, { pool, say }: GrowthGround): Promise<Series> {
  say(`Reaping ${REAPED.toLocaleString('en')} of each, ${String(REAPED_TIMES)} times …`)
  const rates = tables.map((): number[] => [])
  for (let round = 0; round < REAPED_TIMES; round++) {
    for (const [at, { table, store }] of tables.entries()) {
      const prefix = randomUUID()
      const keyOf = (n: number): string => `${prefix}-${String(n)}`
      await fill(pool, { table, keyOf, count: REAPED, expired: true })
      const start = performance.now()
      const reaped = await store.reap(REAPED, 0)
      if (reaped !== REAPED) throw new Error(`reaped ${String(reaped)} of ${String(REAPED)}`)
      rates[at]?.push((REAPED * 1_000) / (performance.now() - start))
    }
  }
  const runs = tables.map(({ table }, at): Run => ({
    name: table,
    concurrency: 1,
    rates: rates[at] ?? [],
    refused: 0,
    made: REAPED * REAPED_TIMES,
  }))
  const about = { name: 'reaper, records a second', of: 'keys', reference: REFERENCE }
  return seriesOf(about, sizes, runs)
}

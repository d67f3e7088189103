/**
 * Requests whose key was used before, at engine level on PostgreSQL: replays of one key and of keys drawn from a large
 * table, and the two refusals; beside them the replays of that peer on Redis which replays fastest.
 */
import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { createIdempotency } from 'pawl'
import { pgStore } from 'pawl/pg'
import { anyOf, fill } from './fill.ts'
import { type Ground, type MissingPeer, openPeers, type Peer, type ReadyPeer } from './peers.ts'
import { measure, median, type Run, type SliceOptions, type Way } from './slices.ts'
import { assertReplayed, bookRide, hotKey, RIDE } from './workloads.ts'

/** The whole of it. Rates are unpaired, requests a second. */
export interface Replay {
  readonly slices: Omit<SliceOptions, 'concurrency'>
  /** Of which cold keys are drawn, where they are. */
  readonly keys?: number | undefined
  readonly runs: readonly Run[]
  /** Of those, the name of the peer's. */
  readonly redisPeer: string | undefined
  readonly missing: readonly MissingPeer[]
}

/** The ways, by which figures are found. */
export const REPLAY = {
  hot: 'replay, one key',
  cold: 'replay, any of many keys',
  cache: 'replay, one key, from the process',
  conflict: 'in progress',
  mismatch: 'mismatch',
} as const

const TABLE = 'bench_replay'

/** Beside whom, and how much. */
export interface ReplayAsked {
  readonly peers: readonly Peer[]
  /** Records in the table of which cold keys are drawn. */
  readonly keys: number
  /** So many at a time, one comparison after the other. */
  readonly at: readonly number[]
  /** One key, from the database and from the process. */
  readonly ratiosOnly: boolean
}

export async function measureReplay(
  { peers, keys, at, ratiosOnly }: ReplayAsked,
  ground: Ground,
  slices: Replay['slices'],
): Promise<Replay> {
  const { pool, say } = ground
  const onRedis = peers.filter(({ keepsIn }) => keepsIn === 'Redis')
  const { ready, missing } = await openPeers(onRedis, ground)
  try {
    const ways = ratiosOnly ? await ofOneKey(pool) : await ourWays(pool, keys, say)
    try {
      const options = { ...slices, concurrency: at[0] ?? 1, pairs: ratiosOnly ? 1 : 3 }
      const best = await fastest(ready, options, say)
      const all = best === undefined ? ways.list : [...ways.list, best]
      const runs: Run[] = []
      for (const concurrency of at) {
        say(`Replays, ${String(concurrency)} concurrent …`)
        runs.push(...(await measure(all, { ...slices, concurrency })))
      }
      return { slices, keys: ratiosOnly ? undefined : keys, runs, redisPeer: best?.name, missing }
    } finally {
      await ways.end()
    }
  } finally {
    for (const peer of ready) await peer.close()
  }
}

interface Ways {
  readonly list: readonly Way[]
  end(): Promise<void>
}

async function ofOneKey(pool: pg.Pool): Promise<Ways> {
  return {
    list: [
      { name: REPLAY.hot, request: await hotKey(pool) },
      { name: REPLAY.cache, request: await hotKey(pool, { cache: true }) },
    ],
    end: () => Promise.resolve(),
  }
}

async function ourWays(pool: pg.Pool, keys: number, say: Ground['say']): Promise<Ways> {
  say(`Filling a table with ${keys.toLocaleString('en')} records …`)
  const idempotency = createIdempotency({ store: pgStore(pool) })
  const many = createIdempotency({ store: pgStore(pool, { table: TABLE }) })
  const keyOf = (at: number): string => `cold-${String(at)}`
  await fill(pool, { table: TABLE, keyOf, count: keys })

  const used = randomUUID()
  await bookRide(idempotency, used)
  const held = await hold(pool)
  const refused = async (
    kind: 'in_progress' | 'mismatch',
    key: string,
    input: { readonly to: string },
  ): Promise<void> => {
    const result = await idempotency.run({ ...RIDE, key, input }, () => undefined)
    if (result.kind !== kind) throw new Error(`${result.kind} instead of ${kind}`)
  }
  return {
    list: [
      ...(await ofOneKey(pool)).list,
      {
        name: REPLAY.cold,
        request: async () => assertReplayed(await bookRide(many, anyOf(keyOf, keys))),
      },
      { name: REPLAY.conflict, request: () => refused('in_progress', held.key, RIDE.input) },
      { name: REPLAY.mismatch, request: () => refused('mismatch', used, { to: 'Rome' }) },
    ],
    end: held.release,
  }
}

/** A key that somebody works on until it is released. */
async function hold(pool: pg.Pool): Promise<{ readonly key: string; release(): Promise<void> }> {
  const idempotency = createIdempotency({ store: pgStore(pool) })
  const key = randomUUID()
  let release = (): void => undefined
  const released = new Promise<void>((resolve) => (release = resolve))
  let working: Promise<unknown> = Promise.resolve()
  await new Promise<void>((resolve, reject) => {
    working = idempotency.run({ ...RIDE, key }, () => {
      resolve()
      return released
    })
    working.catch(reject)
  })
  return {
    key,
    release: async () => {
      release()
      await working
    },
  }
}

/** The replays of the peer that makes the most of them in a few slices. */
async function fastest(
  ready: readonly ReadyPeer[],
  options: SliceOptions,
  say: (line: string) => void,
): Promise<Way | undefined> {
  const ways: Way[] = []
  for (const { peer, request } of ready) {
    const key = randomUUID()
    await request(key)
    ways.push({ name: peer.name, request: () => request(key) })
  }
  if (ways.length < 2) return ways[0]
  say('Looking for the peer on Redis that replays fastest …')
  const runs = await measure(ways, options)
  const rates = runs.map(({ rates }) => median(rates))
  return ways[rates.indexOf(Math.max(...rates))]
}

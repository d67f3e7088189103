/**
 * The same first request through Pawl, through each of its peers, and through none, in the same rounds; and the replay
 * of one hot key. A peer that cannot be installed, cannot be started, or does not do what it says is in the result with
 * its error.
 */
import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type pg from 'pg'
import {
  against,
  type Comparison,
  measure,
  type Run,
  settle,
  type SliceOptions,
  type Way,
} from './slices.ts'
import { engineWays, hotKey, insertBare } from './workloads.ts'

/** What a peer is opened with. */
export interface PeerBed {
  /** Loads a module of the peer's own folder. */
  readonly load: (name: string) => unknown
  /** @throws Redis is not installed */
  readonly redis: () => string
  /** The URL of a database of the peer's own, empty but for the table bench_ride. */
  readonly database: () => Promise<string>
  /** Connections that each way may have. */
  readonly pool: number
  /** The handler: one INSERT in its own transaction, on the pool that all ways share. */
  readonly insert: () => Promise<void>
  /** To be called by a handler that cannot use `insert`, so that it is known how often it ran. */
  readonly ran: () => void
}

/** A peer that is ready. */
export interface OpenedPeer {
  /** One request under this key; resolves when it is answered with 201, by the handler or by a replay. */
  readonly request: (key: string) => Promise<void>
  /** The handler at the same level without the peer. Absent: that is the handler itself. */
  readonly bare?: () => Promise<void>
  close(): Promise<void>
}

/** A library that Pawl is compared with. */
export interface Peer {
  readonly name: string
  /** Below bench/peers. */
  readonly folder: string
  readonly keepsIn: 'Redis' | 'PostgreSQL'
  /** Where it is called. */
  readonly level: string
  /** Who can lose an acknowledged result, or leave one without its record. */
  readonly durability: string
  readonly open: (bed: PeerBed) => Promise<OpenedPeer>
}

/** What all peers share. */
export interface Ground {
  readonly pool: pg.Pool
  readonly poolSize: number
  readonly redis: () => string
  readonly database: (name: string) => Promise<string>
  /** What a folder pins: package → version. @throws it cannot be had */
  readonly install: (folder: string) => Promise<Readonly<Record<string, string>>>
  readonly say: (line: string) => void
}

export interface ReadyPeer extends OpenedPeer {
  readonly peer: Peer
  /** Package → version. */
  readonly versions: Readonly<Record<string, string>>
}

/** What did not run. */
export interface MissingPeer {
  readonly peer: string
  readonly error: string
}

export interface PeerRun extends Pick<Peer, 'name' | 'keepsIn' | 'level' | 'durability'> {
  readonly versions: Readonly<Record<string, string>>
}

/** Requests a second that were replays. */
export interface ReplayRun extends Run {
  readonly keepsIn: Peer['keepsIn']
}

/** The whole of it. */
export interface Peers {
  readonly slices: Omit<SliceOptions, 'concurrency'>
  readonly redis: Readonly<Record<string, string>>
  readonly ran: readonly PeerRun[]
  readonly missing: readonly MissingPeer[]
  /** Each way ÷ its bare one, then Pawl ÷ each peer. */
  readonly comparisons: readonly Comparison[]
  readonly replays: readonly ReplayRun[]
}

const PAWL: Pick<Peer, 'name' | 'keepsIn' | 'level' | 'durability'> = {
  name: 'with Pawl',
  keepsIn: 'PostgreSQL',
  level: 'engine: idempotency.run',
  durability:
    'The record is committed in the transaction of the rows, so neither is there without the other',
}
const MANY = 32

/** Installs, opens and tries each; @returns what works, and why the others do not. */
export async function openPeers(
  peers: readonly Peer[],
  { pool, poolSize, redis, database, install, say }: Ground,
): Promise<{ ready: ReadyPeer[]; missing: MissingPeer[] }> {
  const ready: ReadyPeer[] = []
  const missing: MissingPeer[] = []
  const folders = peers.map((peer) =>
    fileURLToPath(new URL(`peers/${peer.folder}/`, import.meta.url)),
  )
  const installed = await Promise.allSettled(folders.map(install))
  for (const [at, peer] of peers.entries()) {
    let opened: OpenedPeer | undefined
    let count = 0
    try {
      const found = installed[at]
      if (found?.status !== 'fulfilled') throw found?.reason
      const { value: versions } = found
      say(`Opening ${peer.name} …`)
      opened = await peer.open({
        load: createRequire(`${folders[at] ?? ''}package.json`),
        redis,
        database: () => database(`bench_${peer.folder.replaceAll('-', '_')}`),
        pool: poolSize,
        insert: async () => {
          count++
          await insertBare(pool)
        },
        ran: () => void count++,
      })
      await assertReplays(opened, () => count)
      ready.push({ ...opened, peer, versions })
    } catch (error) {
      await opened?.close()
      const message = error instanceof Error ? error.message : String(error)
      missing.push({ peer: peer.name, error: message })
      say(`MISSING: ${peer.name}: ${message}`)
    }
  }
  return { ready, missing }
}

/** A peer that is set up wrongly runs the handler again, and would be measured as one that is fast. */
async function assertReplays({ request }: OpenedPeer, count: () => number): Promise<void> {
  const key = randomUUID()
  const before = count()
  for (let n = 0; n < 3; n++) await request(key)
  const ran = count() - before
  if (ran !== 1) throw new Error(`three requests with one key ran the handler ${String(ran)} times`)
}

/** Measures all that can be opened. @param ratiosOnly - first requests, 32 at a time */
export async function measurePeers(
  { peers, ratiosOnly }: { readonly peers: readonly Peer[]; readonly ratiosOnly: boolean },
  ground: Ground,
  { slices, settleMs }: { readonly slices: Peers['slices']; readonly settleMs: number },
): Promise<Omit<Peers, 'redis'>> {
  const { ready, missing } = await openPeers(peers, ground)
  const { say } = ground
  try {
    const comparisons: Comparison[] = []
    // Pawl has been measured before, and the compiler knows it.
    await settle(ready.map(wayOf), settleMs / 4)
    for (const concurrency of ratiosOnly ? [MANY] : [1, MANY]) {
      say(`First requests, ${String(ready.length)} peers, ${String(concurrency)} concurrent …`)
      comparisons.push(...(await firstRequests(ready, ground.pool, { ...slices, concurrency })))
    }
    const replays = ratiosOnly ? [] : await replaysOf(ready, ground, slices)
    const ran: PeerRun[] = [
      { ...PAWL, versions: {} },
      ...ready.map(({ peer: { name, keepsIn, level, durability }, versions }) => ({
        ...{ name, keepsIn, level, durability, versions },
      })),
    ]
    return { slices, ran, missing, comparisons, replays }
  } finally {
    for (const peer of ready) await peer.close()
  }
}

async function firstRequests(
  ready: readonly ReadyPeer[],
  pool: pg.Pool,
  options: SliceOptions,
): Promise<Comparison[]> {
  const [bare, pawl] = engineWays(pool)
  const levels = ready.flatMap(({ bare: request, peer: { name } }): Way[] =>
    request === undefined ? [] : [{ name: `handler alone, as under ${name}`, request }],
  )
  const theirs = ready.map(wayOf)
  const [bareRun, pawlRun, ...runs] = await measure([bare, pawl, ...theirs, ...levels], options)
  if (bareRun === undefined || pawlRun === undefined) throw new Error('ways give runs')
  const peerRuns = runs.slice(0, ready.length)
  const bareOf = (run: Run): Run =>
    runs.find(({ name }) => name === `handler alone, as under ${run.name}`) ?? bareRun
  return [
    against(pawlRun, bareRun),
    ...peerRuns.map((run) => against(run, bareOf(run))),
    ...peerRuns.map((run) => against(pawlRun, run)),
  ]
}

function wayOf({ request, peer: { name } }: ReadyPeer): Way {
  return { name, request: () => request(randomUUID()) }
}

async function replaysOf(
  ready: readonly ReadyPeer[],
  { pool, say }: Ground,
  slices: Peers['slices'],
): Promise<ReplayRun[]> {
  say(`Replays of one key, ${String(MANY)} concurrent …`)
  const pawl: Way = { name: PAWL.name, request: await hotKey(pool) }
  const theirs = ready.map(async ({ request, peer: { name } }): Promise<Way> => {
    const key = randomUUID()
    await request(key)
    return { name, request: () => request(key) }
  })
  const ways = [pawl, ...(await Promise.all(theirs))]
  const runs = await measure(ways, { ...slices, concurrency: MANY })
  return runs.map((run, at) => ({
    ...run,
    keepsIn: at === 0 ? PAWL.keepsIn : (ready[at - 1]?.peer.keepsIn ?? 'PostgreSQL'),
  }))
}

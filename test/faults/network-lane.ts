/**
 * Lane G: a network that is slow and uneven, half open, or slow to say that it is gone; a pool that is far too small; and
 * PgBouncer, with the sessions behind it ended. When it is over, whoever waits has an answer soon.
 */
import { hasPgBouncer, startPgBouncer } from '../support/pgbouncer.ts'
import { type BadNetwork, startBadNetwork } from './bad-network.ts'
import { type Clients, startClients } from './clients.ts'
import type { Lane, LaneOptions } from './lane.ts'
import {
  createLedger,
  hollowOf,
  type Ledger,
  p99,
  pause,
  randomOf,
  said,
  violationsOf,
} from './ledger.ts'
import { type Nodes, startNodes } from './nodes.ts'
import { type RidesPostgres, startRidesPostgres } from './rides-postgres.ts'

const LEASE_MS = 700
const STORE_TIMEOUT_MS = 2_000
const CLIENTS = 20
const RECOVERY_BOUND_MS = 5_000
const RECOVERY_WAIT_MS = 10_000

const JITTER_MS = 500
const JITTER_FOR_MS = 5_000
const HOLES = 6
const HOLE_FOR_MS = 900
/** Before one of the two alone: long enough that the other's completer takes over what it holds. */
const ONE_SIDED_FOR_MS = 2_200
const SLOW_CLOSES = 6
const SLOW_CLOSE_MS = 500
const SMALL_POOL = 2
const MANY_CLIENTS = 50
const SMALL_FOR_MS = 3_000
const BOUNCED_FOR_MS = 4_000
const TERMINATE_EVERY_MS = 250
/** Else PgBouncer itself leaves the server alone for 15 s, once it saw a session end while it logged in. */
const LOGIN_RETRY = 'server_login_retry = 1'

export const networkLane: Lane = {
  letter: 'G',
  title: 'jitter, half-open and slowly closed connections; two connections for fifty; PgBouncer',
  missing: () => (hasPgBouncer() ? undefined : 'PgBouncer is not installed'),
  run: async (options) => {
    const database = await startRidesPostgres()
    try {
      return await network(database, options)
    } finally {
      await database.remove()
    }
  },
}

/** What all parts share. */
interface Around {
  readonly database: RidesPostgres
  readonly ledger: Ledger
  readonly random: () => number
  readonly scale: number
  readonly recoveryMs: number[]
  readonly events: Map<string, number>
  faults: number
  effective: number
  readonly notes: string[]
}

async function network(database: RidesPostgres, { scale, seed, say }: LaneOptions) {
  const around: Around = {
    ...{ database, scale, random: randomOf(seed), ledger: createLedger() },
    ...{ recoveryMs: [], events: new Map(), faults: 0, effective: 0, notes: [] },
  }
  await throughBadNetwork(around, say)
  await smallPool(around)
  await throughPgBouncer(around)
  const { ledger, recoveryMs, events } = around
  const again = `npm run test:faults -- --lanes G --seed ${String(seed)} --scale ${String(scale)}`
  const recoveryP99Ms = p99(recoveryMs)
  return {
    attempted: around.faults,
    effective: around.effective,
    violations: [
      ...(await violationsOf(ledger, database, { again })),
      ...(recoveryP99Ms < RECOVERY_BOUND_MS
        ? []
        : [`answered ${recoveryP99Ms} ms after it was over (p99) [${again}]`]),
    ],
    hollow: hollowOf({
      'clients that waited when it was over': [recoveryMs.length, 1],
      takeovers: [events.get('taken_over') ?? 0, 1],
      'unacknowledged commits': [events.get('commit_unknown') ?? 0, 1],
      replays: [ledger.counts.replays, 1],
    }),
    figures: { recoveryP99Ms },
    notes: [
      ...around.notes,
      `recovery of ${recoveryMs.length} waiting clients: p99 ${recoveryP99Ms} ms`,
      `${ledger.keys.size} keys; ${said(ledger.problems)}; ${said(events)}`,
    ],
  }
}

async function throughBadNetwork(around: Around, say: LaneOptions['say']): Promise<void> {
  const { database, ledger, random, scale } = around
  const networks = await Promise.all(
    [1, 2].map(() => startBadNetwork(database.cluster.port, random)),
  )
  const nodes = nodesAt(
    around,
    networks.map(({ port }) => at(database.url, port)),
  )
  const clients = clientsOf(around, nodes, 'g', CLIENTS)
  const everywhere = async (work: (network: BadNetwork) => unknown): Promise<void> => {
    await Promise.all(networks.map(work))
  }
  const fault = (): void => {
    around.faults++
    if (clients.waiting.size > 0) around.effective++
  }
  await pause(300)
  fault()
  await everywhere((one) => one.jitter(JITTER_MS))
  await pause(JITTER_FOR_MS * scale)
  await everywhere((one) => one.jitter(0))
  await recovered(around, clients)
  say('jitter is over')
  for (let nth = 0; nth < HOLES * scale; nth++) {
    fault()
    const isOneSided = nth % 3 === 0
    const into = isOneSided ? networks.slice(0, 1) : networks
    for (const one of into) one.blackHole(nth % 2 === 0 ? 'to_server' : 'to_client')
    await pause(isOneSided ? ONE_SIDED_FOR_MS : HOLE_FOR_MS)
    // What had waited arrives, or the connections are gone for good.
    if (nth % 4 >= 2) await everywhere((one) => one.reset())
    await everywhere((one) => one.blackHole(undefined))
    await recovered(around, clients)
  }
  say('black holes are over')
  for (let nth = 0; nth < SLOW_CLOSES * scale; nth++) {
    fault()
    await everywhere((one) => one.closeSlowly(SLOW_CLOSE_MS))
    await recovered(around, clients)
  }
  await clients.settle()
  around.notes.push(`${networks.reduce((sum, one) => sum + one.late(), 0)} bytes were late`)
  await ended(around, nodes)
  await everywhere((one) => one.close())
  around.notes.push(`through the network: ${ledger.answers.size} keys answered`)
}

/** Fifty clients for two connections: nobody fails, everybody waits. */
async function smallPool(around: Around): Promise<void> {
  const nodes = nodesAt(around, [around.database.url], SMALL_POOL)
  const waits: number[] = []
  const clients = clientsOf(around, nodes, 'small', MANY_CLIENTS, waits)
  await pause(SMALL_FOR_MS * around.scale)
  await clients.settle()
  await ended(around, nodes)
  around.notes.push(
    `${SMALL_POOL} connections for ${MANY_CLIENTS} clients: ${waits.length} answers, p99 ${p99(waits)} ms`,
  )
}

async function throughPgBouncer(around: Around): Promise<void> {
  const { database, scale } = around
  const bouncer = await startPgBouncer(database.url, [LOGIN_RETRY])
  try {
    const nodes = nodesAt(around, [bouncer.url, bouncer.url])
    const clients = clientsOf(around, nodes, 'bounced', CLIENTS)
    const until = performance.now() + BOUNCED_FOR_MS * scale
    while (performance.now() < until) {
      await pause(TERMINATE_EVERY_MS)
      // Its sessions are those that others' clients take turns with.
      const sessions = await database.query<{ state: string }>(
        `select state, pg_terminate_backend(pid) from pg_stat_activity
          where backend_type = 'client backend' and application_name <> 'lane' and pid <> pg_backend_pid()`,
      )
      around.faults++
      if (sessions.some(({ state }) => state !== 'idle')) around.effective++
    }
    await recovered(around, clients)
    await clients.settle()
    await ended(around, nodes)
  } finally {
    await bouncer.stop()
  }
}

function nodesAt(
  { ledger, random }: Around,
  urls: readonly string[],
  connections: number = 8,
): Nodes {
  return startNodes({
    ...{ urls, ledger, random, leaseMs: LEASE_MS, storeTimeoutMs: STORE_TIMEOUT_MS },
    completerMs: 300,
    pool: { max: connections },
  })
}

function clientsOf(
  { ledger, random }: Around,
  nodes: Nodes,
  prefix: string,
  count: number,
  waits: number[] = [],
): Clients {
  let nth = 0
  return startClients({
    ...{ ledger, random, count, ask: nodes.ask },
    nextKey: () => `${prefix}-${String(++nth)}`,
    answered: (_key, ms) => void waits.push(ms),
  })
}

/** Notes how long after now each client has its answer that waits for one now. */
async function recovered({ recoveryMs }: Around, { waiting }: Clients): Promise<void> {
  const began = performance.now()
  const left = new Map(waiting)
  const until = began + RECOVERY_WAIT_MS
  while (left.size > 0 && performance.now() < until) {
    await pause(10)
    for (const [key, since] of left) {
      if (waiting.get(key) === since) continue
      left.delete(key)
      recoveryMs.push(performance.now() - began)
    }
  }
  for (const _ of left) recoveryMs.push(Infinity)
}

async function ended({ events }: Around, nodes: Nodes): Promise<void> {
  await nodes.end()
  for (const [type, count] of nodes.events) events.set(type, (events.get(type) ?? 0) + count)
}

function at(url: string, port: number): string {
  const through = new URL(url)
  through.port = String(port)
  return through.href
}

/**
 * Lane C: processes of an application are killed at random moments while clients ask for keys that many share and keys of
 * their own; some clients never ask again. Each dead process is replaced, and each has a completer.
 */
import { type AppProcess, startApp } from './app-process.ts'
import { mixedKeys, startClients } from './clients.ts'
import { createLedger, hollowOf, p99, pause, randomOf, said, violationsOf } from './ledger.ts'
import type { Lane, LaneOptions } from './lane.ts'
import { GRACE_MS, type Reply } from './rides.ts'
import { type RidesPostgres, startRidesPostgres } from './rides-postgres.ts'
import { timeShare } from './time-share.ts'

const KILLS = 500
const ABANDONED = 300
const SECONDS_MAX = 180
const PROCESSES = 6
const ALIVE_MIN = 3
const CLIENTS = 18
const LEASE_MS = 400
const COMPLETER_MS = 300
const BETWEEN_MS = 400
/** Between two kills, at most: drawn. */
const PAUSE_MS = 120
const NEVER_RETRY = 0.4
const RETRY_MS = 100
const RECOVERY_POLL_MS = 20
const RECOVERY_MAX_MS = 30_000

/**
 * When an abandoned record must have its outcome, with the kills over. A completer leaves alone for three leases what
 * another had taken up when it was killed; what was claimed last is looked at after its grace. Then two intervals, each
 * half as long again at most.
 */
const RECOVERY_BOUND_MS = Math.max(GRACE_MS, LEASE_MS * 3) + LEASE_MS + 2 * 1.5 * COMPLETER_MS

export const killLane: Lane = {
  letter: 'C',
  title: 'processes killed at random moments; clients and completers go on',
  run: async (options) => {
    const database = await startRidesPostgres()
    try {
      return await killing(database, options)
    } finally {
      await database.remove()
    }
  },
}

/** The processes, and what became of those that died. */
interface Fleet {
  readonly apps: (AppProcess | undefined)[]
  ask(key: string): Promise<Reply>
  /** Kills one and starts another in its place. @returns false: too few are alive */
  kill(): Promise<boolean>
  /** Ids of records that a process had in work when it died, and the last such attempt. */
  readonly abandoned: Map<string, number>
  /** How often each key was asked for. */
  readonly asked: ReadonlyMap<string, number>
  readonly counts: { kills: number; idle: number; takenOver: number; leaseLost: number }
  all(): Promise<void>
  end(): Promise<void>
}

async function killing(database: RidesPostgres, { scale, seed, say }: LaneOptions) {
  const random = randomOf(seed)
  const fleet = await startFleet(database, random)
  const ledger = createLedger()
  const clients = startClients({
    ledger,
    random,
    count: CLIENTS,
    nextKey: mixedKeys('c', random, { hot: 6, share: 0.3 }),
    neverRetry: NEVER_RETRY,
    retryMs: RETRY_MS,
    ask: (key) => fleet.ask(key),
  })
  const target = Math.ceil(KILLS * scale)
  const time = timeShare(SECONDS_MAX, scale)
  while (fleet.counts.kills < target && !time.isOver()) {
    await pause(random() * PAUSE_MS)
    if ((await fleet.kill()) && fleet.counts.kills % 100 === 0)
      say(`${String(fleet.counts.kills)} kills`)
  }
  await fleet.all()
  const recovery = recovered(database)
  await clients.settle()
  const recoveryMs = await recovery
  await fleet.end()

  const again = `npm run test:faults -- --lanes C --seed ${String(seed)} --scale ${String(scale)}`
  const finished = await finishedOf(database, fleet)
  const { kills, takenOver, leaseLost } = fleet.counts
  const recoveryP99Ms = p99(recoveryMs)
  const late = recoveryMs.filter((ms) => ms > RECOVERY_BOUND_MS)
  const violations = [
    ...(await violationsOf(ledger, database, { again })),
    ...(await downstreamOf(database)),
    ...(recoveryP99Ms <= RECOVERY_BOUND_MS
      ? []
      : [`recovery took ${recoveryP99Ms} ms (p99), at most ${RECOVERY_BOUND_MS} [${again}]`]),
  ]
  const abandoned = finished.resumed + finished.running
  return {
    attempted: kills,
    effective: kills - fleet.counts.idle,
    violations,
    hollow: hollowOf({
      'abandoned keys': [abandoned, time.least(abandoned, Math.ceil(ABANDONED * scale))],
      'keys finished by a completer alone': [finished.alone, 1],
      takeovers: [takenOver, 1],
      replays: [ledger.counts.replays, 1],
      'connections lost': [ledger.counts.lost, 1],
    }),
    figures: { kills, abandoned, finished: finished.resumed, recoveryP99Ms },
    notes: [
      ...time.missed('kills', kills, target),
      `${ledger.keys.size} keys, ${ledger.counts.answers} answers, ${ledger.counts.replays} replays, ` +
        `${ledger.counts.lost} connections lost; ${said(ledger.problems)}`,
      `${takenOver} takeovers and ${leaseLost} fenced attempts were announced; ${finished.landed} attempts of the dead ` +
        `had their last commit on its way, and finished by it`,
      `${finished.alone} of the abandoned keys had a client that never asked again: finished by a completer alone`,
      `recovery of ${recoveryMs.length} keys after the last kill: p99 ${recoveryP99Ms} ms, bound ${RECOVERY_BOUND_MS} ms ` +
        `(max(grace, 3 leases) + lease + 2 intervals of 1.5 × ${COMPLETER_MS} ms), ${late.length} later than that`,
    ],
  }
}

async function startFleet(database: RidesPostgres, random: () => number): Promise<Fleet> {
  let nth = 0
  const start = (): Promise<AppProcess> =>
    startApp({
      name: `p${String(++nth)}`,
      url: database.url,
      leaseMs: LEASE_MS,
      completerMs: COMPLETER_MS,
      betweenMs: BETWEEN_MS,
      failpoints: false,
      pool: 2,
    })
  const apps: (AppProcess | undefined)[] = await Promise.all(
    Array.from({ length: PROCESSES }, start),
  )
  const starting = new Map<number, Promise<void>>()
  const counts = { kills: 0, idle: 0, takenOver: 0, leaseLost: 0 }
  const abandoned = new Map<string, number>()
  const asked = new Map<string, number>()
  const heard = ({ events }: AppProcess): void => {
    for (const { type } of events) {
      if (type === 'taken_over') counts.takenOver++
      if (type === 'lease_lost') counts.leaseLost++
    }
  }
  const replace = async (place: number): Promise<void> => {
    apps[place] = await start()
    starting.delete(place)
  }
  return {
    apps,
    abandoned,
    asked,
    counts,
    ask: async (key) => {
      asked.set(key, (asked.get(key) ?? 0) + 1)
      const alive = apps.filter((app) => app?.isAlive() === true)
      const app = alive[Math.floor(random() * alive.length)]
      return app === undefined ? { kind: 'lost' } : await app.ask(key)
    },
    kill: async () => {
      const places = apps.flatMap((app, place) => (app?.isAlive() === true ? [place] : []))
      const place = places[Math.floor(random() * places.length)]
      const victim = place === undefined ? undefined : apps[place]
      // Whoever starts takes a processor's time: with too few alive nobody would be at work.
      if (place === undefined || victim === undefined || places.length < ALIVE_MIN) return false
      await victim.kill()
      apps[place] = undefined
      counts.kills++
      heard(victim)
      starting.set(place, replace(place))
      const rows = await database.query<{ id: string; attempt: number }>(
        `select id, attempt from idempotency_key where state = 'running' and owner like $1`,
        [`${victim.name}.%`],
      )
      if (rows.length === 0) counts.idle++
      for (const { id, attempt } of rows) abandoned.set(id, attempt)
      return true
    },
    all: async () => {
      await Promise.all(starting.values())
    },
    end: async () => {
      for (const app of apps) if (app !== undefined) heard(app)
      await Promise.all(apps.map(async (app) => await app?.kill()))
    },
  }
}

/** How long after now each record had its outcome that has none now. */
async function recovered(database: RidesPostgres): Promise<readonly number[]> {
  const began = performance.now()
  const unfinished = async (ids?: readonly string[]): Promise<readonly string[]> =>
    (
      await database.query<{ id: string }>(
        `select id from idempotency_key where state <> 'finished' and ($1::text[] is null or id = any($1))`,
        [ids ?? null],
      )
    ).map(({ id }) => id)
  const took: number[] = []
  let left = await unfinished()
  while (left.length > 0 && performance.now() - began < RECOVERY_MAX_MS) {
    await pause(RECOVERY_POLL_MS)
    const still = await unfinished(left)
    const ms = performance.now() - began
    took.push(...Array.from({ length: left.length - still.length }, () => ms))
    left = still
  }
  return [...took, ...left.map(() => Infinity)]
}

/** What became of the keys whose process died. `alone`: nobody asked for them again. */
async function finishedOf(
  database: RidesPostgres,
  { abandoned, asked }: Pick<Fleet, 'abandoned' | 'asked'>,
) {
  const rows = await database.query<{ id: string; key: string; attempt: number; state: string }>(
    'select id, idempotency_key as key, attempt, state from idempotency_key where id = any($1)',
    [[...abandoned.keys()]],
  )
  const counts = { resumed: 0, landed: 0, running: 0, alone: 0 }
  for (const { id, key, attempt, state } of rows) {
    if (state !== 'finished') counts.running++
    else if (attempt === abandoned.get(id)) counts.landed++
    else {
      counts.resumed++
      if (asked.get(key) === 1) counts.alone++
    }
  }
  return counts
}

/** A key is called for with one downstream key, whoever calls. */
async function downstreamOf(database: RidesPostgres): Promise<readonly string[]> {
  const rows = await database.query<{ key: string; n: number }>(
    `select key, count(distinct downstream_key)::int as n from charges group by key having count(distinct downstream_key) > 1`,
  )
  return rows.map(({ key, n }) => `${key}: called with ${n} downstream keys`)
}

/**
 * Lane H: stages in each other's way, by the ten thousand. Deadlocks and serialization failures on PostgreSQL and MariaDB,
 * a file of SQLite that eight processes write to, and many retries of one key at one time.
 */
import type pg from 'pg'
import type { PoolConnection } from 'mysql2/promise'
import { ACCOUNTS, ADD, CREATE_ACCOUNTS, drawn, FILL_ACCOUNTS, SUM } from './accounts.ts'
import { hasMariaDb } from '../support/mariadb.ts'
import { type Ask, startClients } from './clients.ts'
import type { Lane, LaneOptions } from './lane.ts'
import {
  createLedger,
  type Evidence,
  hollowOf,
  type Ledger,
  pause,
  randomOf,
  said,
  violationsOf,
} from './ledger.ts'
import { createRides, type RidesOptions } from './rides.ts'
import { overMariaDb, startRidesMariaDb } from './rides-mariadb.ts'
import { overPool, ridesPool, startRidesPostgres } from './rides-postgres.ts'
import { createRidesSqlite } from './rides-sqlite.ts'
import type { WriterCounts } from './writer-main.ts'
import { startWriter } from './writer-process.ts'

const TRANSACTIONS = 20_000
/** Of all, for each engine; SQLite has one writer at a time, and each of its commits is on disk. */
const SHARES = { postgres: 0.3, serializable: 0.25, mariadb: 0.2, repeatable: 0.15, sqlite: 0.1 }
/** The machine is slower than that: an engine's time is up, and what is missing is said. */
const SECONDS_MAX = 20
const CLIENTS = 24
const CONNECTIONS = 16
const WRITERS = 8
const BUSY_MS = 5
const LEASE_MS = 5_000
/** Retries of one key at one time, and how often. */
const BURST = 200
const BURSTS = 3
const SETTLE_MS = 30_000

export const conflictLane: Lane = {
  letter: 'H',
  title: 'deadlocks, serialization failures, a busy file; hundreds of retries of one key',
  missing: () => (hasMariaDb() ? undefined : 'MariaDB is not installed'),
  run: async (options) => {
    const storms = [
      ...(await onPostgres(options)),
      ...(await onMariaDb(options)),
      await onSqlite(options),
    ]
    const sum = (of: (storm: Storm) => number): number =>
      storms.reduce((total, storm) => total + of(storm), 0)
    const target = Math.ceil(TRANSACTIONS * options.scale)
    const transactions = sum((storm) => storm.committed + storm.aborted)
    const late = transactions < target
    return {
      attempted: transactions,
      effective: sum((storm) => storm.conflicts),
      violations: storms.flatMap(({ violations }) => violations),
      hollow: hollowOf(
        Object.fromEntries([
          ...storms.map(({ name, conflicts }) => [`conflicts on ${name}`, [conflicts, 1]] as const),
          ['replays', [sum((storm) => storm.replays), 1]] as const,
        ]),
      ),
      figures: { conflictTransactions: transactions },
      notes: [
        ...storms.map(
          ({ name, committed, aborted, conflicts, seconds, told }) =>
            `${name}: ${committed} committed, ${aborted} aborted, ${conflicts} conflicts in ${Math.round(seconds)} s; ${told}`,
        ),
        ...(late
          ? [
              `${transactions} of ${target} transactions: an engine has ${SECONDS_MAX} s, and this machine did no more`,
            ]
          : []),
      ],
    }
  },
}

/** What came of one engine at one level. */
interface Storm {
  readonly name: string
  readonly committed: number
  readonly aborted: number
  /** What was in the way of another. */
  readonly conflicts: number
  readonly replays: number
  readonly seconds: number
  readonly told: string
  readonly violations: readonly string[]
}

/** One engine at one level, to be stormed. */
interface Stormed {
  readonly name: string
  readonly prefix: string
  readonly share: number
  readonly ask: Ask
  readonly ledger: Ledger
  readonly counts: () => Counts
}

interface Counts {
  readonly committed: number
  /** By the database, and tried again. */
  readonly aborted: number
  /** Of SQLite: the file was another's. */
  readonly busy?: number
}

type Counted = Omit<Storm, 'violations'>

async function storm(
  { name, prefix, share, ask, ledger, counts }: Stormed,
  { scale, seed, say }: LaneOptions,
): Promise<Counted> {
  const random = randomOf(seed)
  const began = performance.now()
  const before = ledger.counts.replays
  const target = TRANSACTIONS * scale * share
  let nth = 0
  const clients = startClients({
    ...{ ledger, random, ask, replay: 0.05, count: CLIENTS },
    nextKey: () => `${prefix}-${String(++nth)}`,
  })
  const done = (): number => counts().committed + counts().aborted
  while (done() < target && performance.now() - began < SECONDS_MAX * 1_000) await pause(20)
  await clients.settle()
  for (let times = 0; times < BURSTS; times++) await burst(`${prefix}-burst-${String(times)}`)
  const seconds = (performance.now() - began) / 1_000
  const { committed, aborted, busy = aborted } = counts()
  say(`${name}: ${String(committed + aborted)} transactions`)
  const told = said(ledger.problems)
  const replays = ledger.counts.replays - before
  return { name, committed, aborted, conflicts: busy, replays, seconds, told }

  async function burst(key: string): Promise<void> {
    const until = performance.now() + SETTLE_MS
    const one = async (): Promise<void> => {
      while (!ledger.note(key, await ask(key))) {
        if (performance.now() > until) throw new Error(`${key} was not answered in time`)
        await pause(10 + random() * 40)
      }
    }
    await Promise.all(Array.from({ length: BURST }, one))
  }
}

/** Beside what always holds: each effect came with two additions, and none without. */
async function violated(
  ledger: Ledger,
  evidence: Evidence,
  total: () => Promise<number>,
  { seed, scale }: LaneOptions,
): Promise<readonly string[]> {
  const again = `npm run test:faults -- --lanes H --seed ${String(seed)} --scale ${String(scale)}`
  const added = await total()
  const expected = (await evidence.effects()).length * 2
  return [
    ...(await violationsOf(ledger, evidence, { again })),
    ...(added === expected
      ? []
      : [`${added} additions to ${ACCOUNTS} accounts, ${expected} with their effects [${again}]`]),
  ]
}

/** Counts what an API in this process commits and has to try again. */
function counting(): Pick<RidesOptions<never>, 'onEvent' | 'calls'> & Pick<Stormed, 'counts'> {
  const counts = { committed: 0, aborted: 0 }
  return {
    calls: false,
    counts: () => counts,
    onEvent: ({ type }) => {
      if (type === 'stage_committed' || type === 'finished') counts.committed++
      if (type === 'aborted') counts.aborted++
    },
  }
}

async function onPostgres(options: LaneOptions): Promise<readonly Storm[]> {
  const database = await startRidesPostgres({ settings: { deadlock_timeout: '10ms' } })
  const pool = ridesPool(database.url, { max: CONNECTIONS })
  try {
    await database.query(CREATE_ACCOUNTS)
    await database.query(FILL_ACCOUNTS)
    const random = randomOf(options.seed)
    const inside: RidesOptions<pg.PoolClient>['inside'] = async (_place, _key, tx) => {
      for (const id of drawn(random)) await tx?.query(`${ADD}$1`, [id])
    }
    const ledger = createLedger()
    const storms: Counted[] = []
    for (const [isolation, share] of [
      ['read committed', SHARES.postgres],
      ['serializable', SHARES.serializable],
    ] as const) {
      const { counts, ...counted } = counting()
      const rides = createRides({
        ...overPool(pool),
        ...{ inside, isolation, leaseMs: LEASE_MS },
        ...counted,
      })
      const stormed = { name: `PostgreSQL, ${isolation}`, prefix: isolation.slice(0, 4), share }
      const { ask } = rides
      storms.push(await storm({ ...stormed, ledger, counts, ask: (key) => ask(key) }, options))
      await rides.idempotency.close()
    }
    const total = async (): Promise<number> =>
      Number((await database.query<{ total: string }>(SUM))[0]?.total)
    const violations = await violated(ledger, database, total, options)
    return storms.map((one, nth) => ({ ...one, violations: nth === 0 ? violations : [] }))
  } finally {
    await pool.end()
    await database.remove()
  }
}

async function onMariaDb(options: LaneOptions): Promise<readonly Storm[]> {
  const database = await startRidesMariaDb(CONNECTIONS)
  try {
    await database.query(CREATE_ACCOUNTS)
    await database.query(FILL_ACCOUNTS)
    const random = randomOf(options.seed)
    const inside: RidesOptions<PoolConnection>['inside'] = async (_place, _key, tx) => {
      for (const id of drawn(random)) await tx?.execute(`${ADD}?`, [id])
    }
    const ledger = createLedger()
    const storms: Counted[] = []
    for (const [isolation, share] of [
      ['read committed', SHARES.mariadb],
      ['repeatable read', SHARES.repeatable],
    ] as const) {
      const { counts, ...counted } = counting()
      const rides = createRides({
        ...overMariaDb(database.pool),
        ...{ inside, isolation, leaseMs: LEASE_MS },
        ...counted,
      })
      const stormed = { name: `MariaDB, ${isolation}`, prefix: `m${isolation.slice(0, 4)}`, share }
      const { ask } = rides
      storms.push(await storm({ ...stormed, ledger, counts, ask: (key) => ask(key) }, options))
      await rides.idempotency.close()
    }
    const total = async (): Promise<number> =>
      Number((await database.query<{ total: string }>(SUM))[0]?.total)
    const violations = await violated(ledger, database, total, options)
    return storms.map((one, nth) => ({ ...one, violations: nth === 0 ? violations : [] }))
  } finally {
    await database.remove()
  }
}

async function onSqlite(options: LaneOptions): Promise<Storm> {
  const database = await createRidesSqlite()
  const settings = { file: database.file, leaseMs: LEASE_MS, busyMs: BUSY_MS }
  const writers = await Promise.all(Array.from({ length: WRITERS }, () => startWriter(settings)))
  try {
    const random = randomOf(options.seed)
    const ledger = createLedger()
    const ask: Ask = async (key) => {
      const writer = writers[Math.floor(random() * writers.length)]
      return writer === undefined ? { kind: 'lost' } : await writer.ask(key)
    }
    const sum = (of: keyof WriterCounts): number =>
      writers.reduce((total, writer) => total + writer.counts()[of], 0)
    const counts = (): Counts => ({
      committed: sum('committed'),
      aborted: sum('aborted'),
      busy: sum('busy'),
    })
    const name = `SQLite, ${String(WRITERS)} processes`
    const came = await storm(
      { name, prefix: 's', share: SHARES.sqlite, ask, ledger, counts },
      options,
    )
    const total = async (): Promise<number> =>
      database.db.prepare<[], { total: number }>(SUM).get()?.total ?? 0
    return { ...came, violations: await violated(ledger, database, total, options) }
  } finally {
    for (const writer of writers) writer.kill()
    database.remove()
  }
}

/**
 * Lane F: PostgreSQL itself crashes under load and recovers, one of its processes is killed, and all of the
 * application's sessions are ended, again and again.
 */
import { mixedKeys, startClients } from './clients.ts'
import type { Lane, LaneOptions } from './lane.ts'
import {
  createLedger,
  hollowOf,
  type Ledger,
  pause,
  randomOf,
  said,
  violationsOf,
} from './ledger.ts'
import { type Nodes, startNodes } from './nodes.ts'
import { type RidesPostgres, startRidesPostgres } from './rides-postgres.ts'
import { missed, timeShare } from './time-share.ts'

const RESTARTS = 25
const TERMINATIONS = 150
const BACKEND_KILLS = 4
const RESTARTS_SECONDS_MAX = 80
const TERMINATIONS_SECONDS_MAX = 45
const NODES = 3
const CLIENTS = 16
const LEASE_MS = 500
const COMPLETER_MS = 400
const TERMINATE_EVERY_MS = 200
/** Between two crashes so many keys are answered: work was under way again. */
const ANSWERS_BETWEEN = 10
const AWAY_MS = 60
const RETRY_MS = 80
const PROGRESS_MAX_MS = 20_000

export const restartLane: Lane = {
  letter: 'F',
  title: 'PostgreSQL crashes and recovers; sessions are ended',
  run: async (options) => {
    const database = await startRidesPostgres({ settings: { fsync: 'on' } })
    try {
      return await crashing(database, options)
    } finally {
      await database.remove()
    }
  },
}

interface Count {
  restarts: number
  kills: number
  terminations: number
  /** Faults that met a session at work. */
  effective: number
}

async function crashing(database: RidesPostgres, { scale, seed, say }: LaneOptions) {
  const random = randomOf(seed)
  const ledger = createLedger()
  const nodes = startNodes({
    urls: Array.from({ length: NODES }, () => database.url),
    ...{ ledger, random, leaseMs: LEASE_MS, completerMs: COMPLETER_MS },
    storeTimeoutMs: 1_000,
  })
  const clients = startClients({
    ledger,
    random,
    count: CLIENTS,
    nextKey: mixedKeys('f', random, { hot: 4, share: 0.2 }),
    neverRetry: 0.2,
    retryMs: RETRY_MS,
    ask: nodes.ask,
  })
  const count: Count = { restarts: 0, kills: 0, terminations: 0, effective: 0 }
  await restarts(database, ledger, count, {
    random,
    target: Math.ceil(RESTARTS * scale),
    scale,
    say,
  })
  await backendKills(database, ledger, count, Math.ceil(BACKEND_KILLS * scale))
  await terminations(database, ledger, count, scale)
  await clients.settle()
  const again = `npm run test:faults -- --lanes F --seed ${String(seed)} --scale ${String(scale)}`
  await finished(database)
  const violations = await violationsOf(ledger, database, { again })
  await nodes.end()
  return reportOf({ ledger, nodes, count, scale, violations })
}

function reportOf({
  ledger,
  nodes,
  count,
  scale,
  violations,
}: {
  readonly ledger: Ledger
  readonly nodes: Nodes
  readonly count: Count
  readonly scale: number
  readonly violations: readonly string[]
}) {
  const { restarts, kills, terminations, effective } = count
  const { landed, not } = nodes.resolved
  return {
    attempted: restarts + kills + terminations,
    effective,
    violations,
    hollow: hollowOf({
      restarts: [restarts, 1],
      'mass terminations': [terminations, 1],
      takeovers: [nodes.events.get('taken_over') ?? 0, 1],
      'stages tried again': [nodes.events.get('aborted') ?? 0, 1],
      'unacknowledged commits': [landed + not, 1],
      replays: [ledger.counts.replays, 1],
    }),
    figures: { restarts, terminations },
    notes: [
      ...missed('restarts', restarts, RESTARTS * scale, RESTARTS_SECONDS_MAX),
      ...missed('terminations', terminations, TERMINATIONS * scale, TERMINATIONS_SECONDS_MAX),
      `${kills} times one of the server's processes was killed, and it recovered`,
      `${ledger.keys.size} keys, ${ledger.counts.answers} answers, ${ledger.counts.replays} replays; ${said(ledger.problems)}`,
      `${said(nodes.events)}; of the unacknowledged commits ${landed} had landed, ${not} not`,
    ],
  }
}

async function restarts(
  database: RidesPostgres,
  ledger: Ledger,
  count: Count,
  {
    random,
    target,
    scale,
    say,
  }: Pick<LaneOptions, 'say' | 'scale'> & {
    readonly random: () => number
    readonly target: number
  },
): Promise<void> {
  const time = timeShare(RESTARTS_SECONDS_MAX, scale)
  while (count.restarts < target && !time.isOver()) {
    await progress(ledger)
    if (await isAtWork(database)) count.effective++
    await database.cluster.stop('immediate')
    await pause(random() * AWAY_MS)
    await database.cluster.start()
    count.restarts++
    if (count.restarts % 5 === 0) say(`${String(count.restarts)} restarts`)
  }
}

async function backendKills(
  database: RidesPostgres,
  ledger: Ledger,
  count: Count,
  target: number,
): Promise<void> {
  for (let nth = 0; nth < target; nth++) {
    await progress(ledger)
    const [backend] = await database.query<{ pid: number }>(
      `select pid from pg_stat_activity where application_name = 'rides' order by state <> 'idle' desc limit 1`,
    )
    if (backend === undefined) continue
    if (await isAtWork(database)) count.effective++
    process.kill(backend.pid, 'SIGKILL')
    count.kills++
  }
}

async function terminations(
  database: RidesPostgres,
  ledger: Ledger,
  count: Count,
  scale: number,
): Promise<void> {
  await progress(ledger)
  const target = Math.ceil(TERMINATIONS * scale)
  const time = timeShare(TERMINATIONS_SECONDS_MAX, scale)
  while (count.terminations < target && !time.isOver()) {
    await pause(TERMINATE_EVERY_MS)
    const ended = await database.query<{ state: string }>(
      `select state, pg_terminate_backend(pid) from pg_stat_activity where application_name = 'rides'`,
    )
    if (ended.length > 0) count.terminations++
    if (ended.some(({ state }) => state !== 'idle')) count.effective++
  }
}

async function isAtWork(database: RidesPostgres): Promise<boolean> {
  return (await database.openTransactions()) > 0
}

async function progress({ answers }: Ledger): Promise<void> {
  const enough = answers.size + ANSWERS_BETWEEN
  const until = performance.now() + PROGRESS_MAX_MS
  while (answers.size < enough) {
    if (performance.now() > until) throw new Error(`no answers for ${PROGRESS_MAX_MS / 1_000} s`)
    await pause(10)
  }
}

/** What no client asks for any more is left to the completers. */
async function finished(database: RidesPostgres): Promise<void> {
  const until = performance.now() + PROGRESS_MAX_MS
  while (performance.now() < until) {
    const [row] = await database.query<{ n: number }>(
      `select count(*)::int as n from idempotency_key where state <> 'finished'`,
    )
    if (row?.n === 0) return
    await pause(50)
  }
}

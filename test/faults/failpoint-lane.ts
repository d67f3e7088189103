/**
 * Lane B: real processes meet a fault at every failpoint there is: killed, failed, cut off from their database, stopped
 * for longer than their lease; on the first attempt that comes there, and on the second.
 */
import { FAILPOINTS, type Failpoint } from '../../src/core/runtime.ts'
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'
import { type AppProcess, startApp } from './app-process.ts'
import { ASKED_FOR, type Fault } from './faults-of-app.ts'
import type { Lane, LaneOptions } from './lane.ts'
import { createLedger, hollowOf, type Ledger, pause, said, violationsOf } from './ledger.ts'
import { type RidesPostgres, startRidesPostgres } from './rides-postgres.ts'

const PAIRS = 4
const LEASE_MS = 300
/** What stands still inside a transaction is ended by the server, and lets go of the row. */
const IDLE_IN_TRANSACTION_MS = 350
const RETRY_MS = 25
const SETTLE_MAX_MS = 20_000

/** `ECONNRESET`: every connection to the database breaks while it stands there. `pause`: SIGSTOP, past its lease. */
const ACTIONS = ['SIGKILL', 'throw', 'ECONNRESET', 'pause'] as const
type Action = (typeof ACTIONS)[number]
const ATTEMPTS = ['first', 'second'] as const

interface Case {
  readonly key: string
  readonly at: Failpoint
  readonly action: Action
  readonly attempt: (typeof ATTEMPTS)[number]
}

export const failpointLane: Lane = {
  letter: 'B',
  title: 'every failpoint: killed, failed, cut off, stopped; first and second attempt',
  run: async (options) => {
    const database = await startRidesPostgres()
    try {
      return await matrix(database, options)
    } finally {
      await database.remove()
    }
  },
}

async function matrix(database: RidesPostgres, { scale, say }: LaneOptions) {
  const ledger = createLedger((what) => what.includes(ASKED_FOR))
  const cases = casesOf(scale)
  const hit: Case[] = []
  const failed: string[] = []
  const left = cases.values()
  const work = async (nth: number): Promise<void> => {
    const pair = await startPair(database, nth)
    for (const one of left) {
      try {
        await meet(pair, one, { database, ledger })
        hit.push(one)
      } catch (error) {
        failed.push(`${one.key}: ${String(error)}`)
      }
      if (hit.length % 40 === 0) say(`${String(hit.length)} of ${String(cases.length)}`)
    }
    await pair.end()
  }
  await Promise.all(Array.from({ length: PAIRS }, (_, nth) => work(nth)))
  const again = 'npm run test:faults -- --lanes B'
  return {
    attempted: cases.length,
    effective: hit.length,
    violations: [
      ...failed.slice(0, 10).map((what) => `${what} [${again}]`),
      ...(await violationsOf(ledger, database, { again })),
      ...(await calledTwice(database)),
    ],
    hollow: hollowOf({
      'pairs hit': [hit.length, cases.length],
      replays: [ledger.counts.replays, 1],
      'connections lost': [ledger.counts.lost, 1],
    }),
    figures: { failpointPairs: { hit: hit.length, total: cases.length } },
    notes: [
      `${FAILPOINTS.length} failpoints × ${ACTIONS.length} faults × ${ATTEMPTS.length} attempts` +
        `${scale < 1 ? `, of which every ${Math.round(1 / scale)}th` : ''}; ${said(ledger.problems)}`,
    ],
  }
}

function casesOf(scale: number): readonly Case[] {
  const all = Array.from({ length: Math.max(1, Math.round(scale)) }, (_, round) =>
    FAILPOINTS.flatMap((at) =>
      ACTIONS.flatMap((action) =>
        ATTEMPTS.map((attempt): Case => ({
          key: `b${String(round)}-${at}-${action}-${attempt}`,
          ...{ at, action, attempt },
        })),
      ),
    ),
  ).flat()
  return scale >= 1 ? all : all.filter((_, nth) => nth % Math.round(1 / scale) === 0)
}

/** Two processes: the first meets the fault, the second goes on. */
interface Pair {
  first(): Promise<{ readonly app: AppProcess; readonly proxy: TcpProxy }>
  readonly second: AppProcess
  end(): Promise<void>
}

async function startPair(database: RidesPostgres, nth: number): Promise<Pair> {
  const proxy = await startTcpProxy(database.cluster.port)
  const through = new URL(database.url)
  through.port = String(proxy.port)
  let started = 0
  const start = (role: string, url: string): Promise<AppProcess> =>
    startApp({
      name: `${role}${String(nth)}-${String(++started)}`,
      url,
      leaseMs: LEASE_MS,
      idleInTransactionMs: IDLE_IN_TRANSACTION_MS,
      pool: 3,
    })
  const second = await start('second', database.url)
  let app: AppProcess | undefined
  return {
    second,
    first: async () => {
      if (app?.isAlive() !== true) app = await start('first', through.href)
      return { app, proxy }
    },
    end: async () => {
      await Promise.all([app?.kill(), second.kill()])
      await proxy.close()
    },
  }
}

interface Around {
  readonly database: RidesPostgres
  readonly ledger: Ledger
}

/** One pair of the matrix. @throws the fault was not met, or the request was not finished in time */
async function meet(pair: Pair, one: Case, around: Around): Promise<void> {
  const { key, at, action, attempt } = one
  const { second } = pair
  const { app, proxy } = await pair.first()
  const repeatable = at !== 'call.intent.after'
  const fails = at === 'release.before' || at === 'release.after'
  // An attempt that was lost behind its claim: the next one takes over once its lease has lapsed.
  const abandon = (where: Failpoint): Promise<void> =>
    untilHit(second, key, { repeatable, faults: [{ at: where, action: 'throw' }] }, around)
  const isTakeOver = at === 'take_over.after'
  if (attempt === 'second' || isTakeOver) await abandon('claim.after')
  if (attempt === 'second' && isTakeOver) await abandon('take_over.after')

  const fault: Fault = { at, action: ON_APP[action] }
  const sent = untilHit(app, key, { repeatable, fails, faults: [fault] }, around)
  const hit = app.hit(key)
  hit.catch(() => undefined) // `sent` fails too, and says why.
  await Promise.race([hit, sent])
  if (action === 'SIGKILL') await app.exited()
  if (action === 'ECONNRESET') {
    proxy.resetAll()
    app.go(key)
  }
  if (action === 'pause') {
    await app.stopped()
    const isOver = await settle(second, one, around, repeatable ? undefined : 'outcome_unknown')
    app.continue()
    await sent
    if (isOver) around.ledger.note(key, await app.ask(key, { repeatable }))
  } else await sent
  if (!repeatable) await neverSent(around.database, key)
  await settle(second, one, around)
  around.ledger.note(key, await second.ask(key, { repeatable }))
}

const ON_APP: Readonly<Record<Action, Fault['action']>> = {
  SIGKILL: 'SIGKILL',
  throw: 'throw',
  ECONNRESET: 'hold',
  pause: 'SIGSTOP',
}

/** Asks until the fault was met: before that, another attempt's lease has to lapse. */
async function untilHit(
  app: AppProcess,
  key: string,
  options: Parameters<AppProcess['ask']>[1],
  { ledger }: Around,
): Promise<void> {
  const met = app.hits(key)
  const until = performance.now() + SETTLE_MAX_MS
  while (app.hits(key) === met) {
    ledger.note(key, await app.ask(key, options))
    if (app.hits(key) !== met) return
    if (!app.isAlive() || performance.now() > until)
      throw new Error(`the fault was not met; last told: ${said(ledger.problems)}`)
    await pause(RETRY_MS)
  }
}

/**
 * Asks the other process until it has an answer.
 *
 * @param enough - a problem with which the client is content for now
 * @returns whether there was an answer
 */
async function settle(
  app: AppProcess,
  { key, at }: Case,
  { ledger }: Around,
  enough?: string,
): Promise<boolean> {
  const repeatable = at !== 'call.intent.after'
  const until = performance.now() + SETTLE_MAX_MS
  for (;;) {
    const reply = await app.ask(key, { repeatable })
    if (ledger.note(key, reply)) return true
    if (enough !== undefined && reply.kind === 'answer' && reply.code === enough) return false
    if (performance.now() > until)
      throw new Error(`no answer; the last was ${JSON.stringify(reply)}`)
    await pause(RETRY_MS)
  }
}

/** Nobody works on it any more: if the called system knows nothing of the call, it never will. */
async function neverSent(database: RidesPostgres, key: string): Promise<void> {
  await database.query(
    `insert into charges (key, downstream_key, attempt)
     select 'never ' || $1::text, '', 0 where not exists (select from charges where key = $1)`,
    [key],
  )
}

/** Calls that are not repeatable are made once; all calls of a key have one downstream key. */
async function calledTwice(database: RidesPostgres): Promise<readonly string[]> {
  const rows = await database.query<{ key: string; calls: number; keys: number }>(
    `select key, count(*)::int as calls, count(distinct downstream_key)::int as keys from charges group by key`,
  )
  return rows.flatMap(({ key, calls, keys }) => [
    ...(keys > 1 ? [`${key}: called with ${keys} downstream keys`] : []),
    ...(key.includes('call.intent.after') && calls > 1 ? [`${key}: called ${calls} times`] : []),
  ])
}

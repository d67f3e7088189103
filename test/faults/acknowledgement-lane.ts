/**
 * Lane E: the connection breaks at the very bytes that carry a claim, the commit of a stage, the record of a call, or the
 * commit of finish: before the server has them, behind its answer, while they travel, and with the bytes arriving late.
 */
import type { PawlEvent } from '../../src/index.ts'
import { type Cut, startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'
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
import { CALL, createRides, type Rides } from './rides.ts'
import { timeShare } from './time-share.ts'
import { overPool, ridesPool, type RidesPostgres, startRidesPostgres } from './rides-postgres.ts'

const LOST = 1_000
const SECONDS_MAX = 90
const NODES = 6
const LEASE_MS = 5_000
const LATE_MS = 60
const RETRY_MS = 20
const ANSWER_MAX_MS = 20_000

type Point = 'claim' | 'booked' | typeof CALL | 'receipt'
const POINTS: readonly Point[] = ['claim', 'booked', CALL, 'receipt']
/** `answered` and `late` twice: in these the acknowledgement of what has landed is lost. */
const CUTS: readonly Cut[] = ['before', 'answered', 'late', 'after', 'answered', 'late', 'reset']

export const acknowledgementLane: Lane = {
  letter: 'E',
  title: 'connections cut at the bytes of a claim, a commit and a record',
  run: async (options) => {
    const database = await startRidesPostgres()
    try {
      return await cutting(database, options)
    } finally {
      await database.remove()
    }
  },
}

interface Count {
  cuts: number
  readonly byPoint: Map<string, number>
  /** What had become of an unacknowledged commit, as the engine found out. */
  readonly resolved: { landed: number; not: number; unknown: number }
  /** Claims whose answer the proxy has seen and kept. */
  claims: number
  /** Requests whose client had to ask again. */
  askedAgain: number
}

async function cutting(database: RidesPostgres, { scale, seed, say }: LaneOptions) {
  const random = randomOf(seed)
  const ledger = createLedger()
  const count: Count = {
    cuts: 0,
    byPoint: new Map(),
    resolved: { landed: 0, not: 0, unknown: 0 },
    claims: 0,
    askedAgain: 0,
  }
  const target = Math.ceil(LOST * scale)
  const time = timeShare(SECONDS_MAX, scale)
  const lost = (): number => count.resolved.landed + count.claims
  const work = async (nth: number): Promise<void> => {
    const node = await startNode(database, { ledger, count, pipelined: nth % 2 === 1 })
    while (lost() < target && !time.isOver()) {
      const point = POINTS[Math.floor(random() * POINTS.length)] as Point
      const cut = CUTS[Math.floor(random() * CUTS.length)] as Cut
      await node.cutAt(`e-${String(nth)}-${String(count.cuts)}`, point, cut, random() * LATE_MS)
      if (count.cuts % 500 === 0)
        say(`${String(count.cuts)} cuts, ${String(lost())} acknowledgements lost`)
    }
    await node.end()
  }
  await Promise.all(Array.from({ length: NODES }, (_, nth) => work(nth)))

  const again = `npm run test:faults -- --lanes E --seed ${String(seed)} --scale ${String(scale)}`
  const { landed, not, unknown } = count.resolved
  return {
    attempted: count.cuts,
    effective: unknown + count.claims,
    violations: await violationsOf(ledger, database, { again }),
    hollow: hollowOf({
      'acknowledgements lost of what had landed': [lost(), time.least(lost(), target)],
      'commits that had not landed': [not, 1],
      'claims that recognised themselves': [count.claims, 1],
      replays: [ledger.counts.replays, 1],
    }),
    figures: { lostAcks: lost() },
    notes: [
      ...time.missed('lost acknowledgements', lost(), target),
      `of stages, records and finishes: ${unknown} unacknowledged, found landed ${landed}, not ${not}`,
      `of claims: ${count.claims} whose answer was seen on its way and kept from the client`,
      `${said(count.byPoint)}`,
      `${count.askedAgain} requests whose client had to ask again: ${said(ledger.problems)}`,
    ],
  }
}

interface Node {
  cutAt(key: string, point: Point, cut: Cut, lateMs: number): Promise<void>
  end(): Promise<void>
}

async function startNode(
  database: RidesPostgres,
  { ledger, count, pipelined }: { ledger: Ledger; count: Count; pipelined: boolean },
): Promise<Node> {
  const proxy = await startTcpProxy(database.cluster.port)
  const url = new URL(database.url)
  url.port = String(proxy.port)
  const pool = ridesPool(url.href, { max: 3, ...(pipelined ? { pipeline: true } : {}) })
  let armed: { readonly point: Point; readonly arm: () => void } | undefined
  const at = async (point: Point): Promise<void> => {
    if (armed?.point !== point) return
    const { arm } = armed
    armed = undefined
    arm()
  }
  const rides = createRides({
    ...overPool(pool),
    leaseMs: LEASE_MS,
    charge: async (charge) => ledger.charged(charge),
    inside: at,
    onEvent: (event) => heard(event, count),
  })
  return {
    cutAt: async (key, point, cut, lateMs) => {
      let sprung: Promise<void> | undefined
      const arm = (): void => {
        sprung = proxy.cutNext(cut, matchOf(point, key), lateMs)
      }
      armed = { point, arm }
      await at(point === 'claim' ? 'claim' : ('' as Point))
      await untilAnswered(rides, ledger, key, count)
      await sprung
      count.cuts++
      const what = `${point} ${cut}`
      count.byPoint.set(what, (count.byPoint.get(what) ?? 0) + 1)
      if (point === 'claim' && cut === 'answered') count.claims++
      ledger.note(key, await rides.ask(key))
    },
    end: () => endOf(rides, pool, proxy),
  }
}

/** The bytes that only the statement at that point sends. */
function matchOf(point: Point, key: string): string {
  switch (point) {
    case 'claim':
      return key
    case 'charged':
      return CALL
    case 'booked':
    case 'receipt':
      return 'commit'
  }
}

function heard(event: PawlEvent, { resolved }: Count): void {
  if (event.type === 'commit_unknown') resolved.unknown++
  if (event.type !== 'commit_resolved') return
  if (event.landed) resolved.landed++
  else resolved.not++
}

async function untilAnswered(
  { ask }: Pick<Rides, 'ask'>,
  ledger: Ledger,
  key: string,
  count: Count,
): Promise<void> {
  const until = performance.now() + ANSWER_MAX_MS
  for (let asked = 1; !ledger.note(key, await ask(key)); asked++) {
    if (asked === 1) count.askedAgain++
    if (performance.now() > until)
      throw new Error(`${key} was not answered in time; last told: ${said(ledger.problems)}`)
    await pause(RETRY_MS)
  }
}

async function endOf(
  { idempotency }: { readonly idempotency: { close(): Promise<void> } },
  pool: { end(): Promise<void> },
  proxy: TcpProxy,
): Promise<void> {
  await idempotency.close()
  await pool.end()
  await proxy.close()
}

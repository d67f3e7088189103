/**
 * Lane D: a process is stopped in the middle of three requests, between two stages, inside a transaction, and between the
 * fence and COMMIT; when it goes on, others have long finished them. It must commit nothing.
 */
import { type AppProcess, startApp } from './app-process.ts'
import type { Fault } from './faults-of-app.ts'
import type { Lane, LaneOptions } from './lane.ts'
import { createLedger, hollowOf, type Ledger, p99, pause, said, violationsOf } from './ledger.ts'
import { type RidesPostgres, startRidesPostgres } from './rides-postgres.ts'
import { idOf } from '../../src/core/identity.ts'
import { OPERATION } from './rides.ts'
import { timeShare } from './time-share.ts'

const ZOMBIES = 102
const SECONDS_MAX = 60
const PAIRS = 3
const LEASE_MS = 300
/** The server ends the session of a process that is stopped inside a transaction, and so lets go of its rows. */
const IDLE_IN_TRANSACTION_MS = 400
const RETRY_MS = 20
const TAKEOVER_MAX_MS = 20_000

/** Where it stands when it is stopped. */
const PLACES = {
  between: { at: 'handler', action: 'hold' },
  inside: { at: 'stage.work.after', step: 'booked', action: 'hold' },
  fence: { at: 'stage.fence.after', step: 'booked', action: 'hold' },
  finish: { at: 'finish.work.after', action: 'hold' },
  finish_fence: { at: 'finish.fence.after', action: 'hold' },
  call: { at: 'call.work.after', action: 'hold' },
} as const satisfies Record<string, Fault>
type Place = keyof typeof PLACES

/** Which are in one process: those that lock their row are in one whose sessions the server ends. */
const ROUNDS: readonly { readonly places: readonly Place[]; readonly isEnded: boolean }[] = [
  { places: ['between', 'inside', 'finish', 'call'], isEnded: false },
  { places: ['between', 'fence', 'inside', 'finish_fence'], isEnded: true },
]

export const zombieLane: Lane = {
  letter: 'D',
  title: 'processes stopped for longer than their lease, and continued',
  run: async (options) => {
    const database = await startRidesPostgres()
    try {
      return await zombies(database, options)
    } finally {
      await database.remove()
    }
  },
}

/** Two processes with sessions of one kind: one is stopped, the other takes over. */
interface Pair {
  readonly stopped: AppProcess
  readonly other: AppProcess
}

interface Count {
  zombies: number
  fenced: number
  readonly byPlace: Map<Place, number>
  readonly takeoverMs: number[]
  readonly violations: string[]
}

async function zombies(database: RidesPostgres, { scale, seed, say }: LaneOptions) {
  const ledger = createLedger()
  const count: Count = { zombies: 0, fenced: 0, byPlace: new Map(), takeoverMs: [], violations: [] }
  const target = Math.ceil(ZOMBIES * scale)
  const time = timeShare(SECONDS_MAX, scale)
  let nth = 0
  const work = async (lane: number): Promise<void> => {
    const pairs = await Promise.all(ROUNDS.map(({ isEnded }) => startPair(database, lane, isEnded)))
    for (let turn = lane; count.zombies < target && !time.isOver(); turn++) {
      const { places } = ROUNDS[turn % ROUNDS.length] as (typeof ROUNDS)[number]
      const pair = pairs[turn % ROUNDS.length] as Pair
      await round({ pair, places, prefix: `d-${String(++nth)}`, ledger, count })
      if (nth % 10 === 0) say(`${String(count.zombies)} zombies`)
    }
    await Promise.all(pairs.flatMap(({ stopped, other }) => [stopped.kill(), other.kill()]))
  }
  await Promise.all(Array.from({ length: PAIRS }, (_, lane) => work(lane)))

  const again = `npm run test:faults -- --lanes D --seed ${String(seed)} --scale ${String(scale)}`
  const bound = LEASE_MS + IDLE_IN_TRANSACTION_MS + 1_000
  const takeoverP99 = p99(count.takeoverMs)
  return {
    attempted: count.zombies,
    effective: count.zombies,
    violations: [
      ...count.violations.map((what) => `${what} [${again}]`),
      ...(await violationsOf(ledger, database, { again })),
      ...(takeoverP99 <= bound
        ? []
        : [`taken over after ${takeoverP99} ms (p99), at most ${bound} [${again}]`]),
    ],
    hollow: hollowOf({
      zombies: [count.zombies, time.least(count.zombies, target)],
      replays: [ledger.counts.replays, 1],
      ...Object.fromEntries(
        Object.keys(PLACES).map((place) => [
          `stopped at ${place}`,
          [count.byPlace.get(place as Place) ?? 0, 1] as const,
        ]),
      ),
    }),
    figures: { zombies: count.zombies, fenced: count.fenced },
    notes: [
      ...time.missed('zombies', count.zombies, target),
      `stopped: ${said(count.byPlace)}; ${said(ledger.problems)}`,
      `taken over and finished ${takeoverP99} ms after the stop (p99), bound ${bound} ms (lease + idle-in-transaction + 1 s)`,
    ],
  }
}

async function startPair(database: RidesPostgres, lane: number, isEnded: boolean): Promise<Pair> {
  const start = (role: string): Promise<AppProcess> =>
    startApp({
      name: `${role}${String(lane)}${isEnded ? 'e' : ''}`,
      url: database.url,
      leaseMs: LEASE_MS,
      ...(isEnded ? { idleInTransactionMs: IDLE_IN_TRANSACTION_MS } : {}),
    })
  const [stopped, other] = await Promise.all([start('z'), start('o')])
  return { stopped, other }
}

/** What one round needs. */
interface Round {
  readonly pair: Pair
  readonly places: readonly Place[]
  readonly prefix: string
  readonly ledger: Ledger
  readonly count: Count
}

/** Stops the process in several requests at once, has the other finish them, and lets it go on. */
async function round({ pair, places, prefix, ledger, count }: Round): Promise<void> {
  const { stopped, other } = pair
  const keys = places.map((place) => `${prefix}-${place}`)
  const sent = places.map(async (place, nth) => {
    const key = keys[nth] as string
    ledger.note(key, await stopped.ask(key, { faults: [PLACES[place]] }))
  })
  await Promise.all(keys.map((key) => stopped.hit(key)))
  await stopped.stop()
  const began = performance.now()
  try {
    await Promise.all(
      keys.map(async (key) => {
        while (!ledger.note(key, await other.ask(key))) {
          if (performance.now() - began > TAKEOVER_MAX_MS)
            throw new Error(`${key} was not taken over; last told: ${said(ledger.problems)}`)
          await pause(RETRY_MS)
        }
        count.takeoverMs.push(performance.now() - began)
      }),
    )
  } finally {
    for (const key of keys) stopped.go(key) // Read once it goes on.
    stopped.continue()
  }
  await Promise.all(sent)
  for (const [nth, key] of keys.entries()) {
    const place = places[nth] as Place
    count.zombies++
    count.byPlace.set(place, (count.byPlace.get(place) ?? 0) + 1)
    if (isFenced(stopped, key)) count.fenced++
    else count.violations.push(`${key}: the process that was stopped did not lose its lease`)
    ledger.note(key, await stopped.ask(key))
  }
}

function isFenced({ events }: AppProcess, key: string): boolean {
  const id = idOf({ scope: 'rides', operation: OPERATION, key })
  return events.some(
    ({ type, id: about, attempt }) => type === 'lease_lost' && about === id && attempt === 1,
  )
}

/**
 * Of lane I: outcomes expire and are deleted while clients ask for them. Each execution of a key is whole, and none begins
 * before the outcome of the last has expired.
 */
import { createReaper } from '../../src/workers/index.ts'
import type { LaneOptions } from './lane.ts'
import type { Part } from './lane-part.ts'
import { hollowOf, pause, randomOf } from './ledger.ts'
import { createRides, type Effect, STAGES } from './rides.ts'
import { overPool, ridesPool, startRidesPostgres } from './rides-postgres.ts'

const RETENTION_MS = 1_000
/** An outcome whose record has nine tenths of its retention left is not moved on. */
const REMEMBERED_OF_RETENTION = 0.9
/** From the commit of finish to its answer, and between two clocks of one process. */
const SLACK_MS = 150
const LEASE_MS = 900
const KEYS = 30
const CLIENTS = 20
const FOR_MS = 5_000
const REAP_MS = 20

interface Told {
  readonly body: string
  readonly askedAt: number
  readonly toldAt: number
}

/** @param again - how it is shown again */
export async function expiryPart({ scale, seed }: LaneOptions, again: string): Promise<Part> {
  const database = await startRidesPostgres()
  const pool = ridesPool(database.url, { max: 12 })
  let reaped = 0
  let replays = 0
  let resets = 0
  const rides = createRides({
    ...overPool(pool),
    ...{ leaseMs: LEASE_MS, retentionMs: RETENTION_MS, calls: false },
    onEvent: (event) => {
      if (event.type === 'reaped') reaped += event.count
      if (event.type === 'claimed' && event.attempt > 1) resets++
    },
  })
  const reaper = createReaper(rides.idempotency, { every: `${REAP_MS}ms`, grace: 0, batch: 50 })
  reaper.start()
  const told = new Map<string, Told[]>()
  const random = randomOf(seed)
  const until = performance.now() + FOR_MS * Math.max(scale, 0.3)
  const client = async (): Promise<void> => {
    while (performance.now() < until) {
      // Half of the keys are reaped, the others are claimed before a reaper comes: both ways of becoming new.
      const nth = Math.floor(random() * KEYS)
      const key = `i-${String(nth)}`
      const askedAt = performance.now()
      const reply = await rides.ask(key)
      if (reply.kind === 'answer' && reply.code === undefined) {
        if (reply.replayed) replays++
        const one = { body: reply.body, askedAt, toldAt: performance.now() }
        told.set(key, [...(told.get(key) ?? []), one])
      }
      await pause(random() * 25)
    }
  }
  const resting = (async () => {
    // The reaper rests now and then, so that expired outcomes are met by claims as well.
    while (performance.now() < until) {
      await pause(400)
      await reaper.stop()
      await pause(400)
      reaper.start()
    }
  })()
  await Promise.all([...Array.from({ length: CLIENTS }, client), resting])
  await reaper.stop()
  const effects = await database.effects()
  await rides.idempotency.close()
  await pool.end()
  await database.remove()
  const executions = [...told.values()].reduce((sum, each) => sum + bodiesOf(each).length, 0)
  return {
    attempted: executions,
    effective: executions - told.size,
    violations: [...told].flatMap(([key, each]) =>
      wrong(key, each, effects).map((what) => `${what} [${again}]`),
    ),
    hollow: hollowOf({
      'records reaped': [reaped, 1],
      'expired outcomes that a claim began anew': [resets, 1],
      'replays beside the reaper': [replays, 1],
    }),
    notes: [
      `expiry: ${executions} executions of ${told.size} keys in ${FOR_MS * Math.max(scale, 0.3)} ms, ${replays} replays, ` +
        `${reaped} records reaped, ${resets} begun anew by a claim`,
    ],
  }
}

function bodiesOf(told: readonly Told[]): readonly string[] {
  return [...new Set(told.map(({ body }) => body))]
}

function wrong(key: string, told: readonly Told[], effects: readonly Effect[]): readonly string[] {
  const bodies = bodiesOf(told)
  const found: string[] = []
  const notes = bodies.flatMap((body) => (JSON.parse(body) as { notes: string[] }).notes)
  const stored = effects.filter((effect) => effect.key === key).map(({ note }) => note)
  // The last execution may have been answered to nobody.
  for (const note of notes)
    if (stored.filter((one) => one === note).length !== 1)
      found.push(`${key}: ${note} is not one effect`)
  if (stored.length > (bodies.length + 1) * STAGES.length)
    found.push(`${key}: ${stored.length} effects of ${bodies.length} executions that were answered`)
  let before: { readonly body: string; readonly firstAt: number } | undefined
  for (const body of bodies) {
    const own = told.filter((one) => one.body === body)
    const firstAt = Math.min(...own.map(({ toldAt }) => toldAt))
    const lastAsked = Math.max(...own.map(({ askedAt }) => askedAt))
    if (before !== undefined) {
      const apart = firstAt - before.firstAt
      const least = RETENTION_MS * REMEMBERED_OF_RETENTION - SLACK_MS
      if (apart < least) found.push(`${key}: executed anew after ${Math.round(apart)} ms`)
    }
    const later = told.find(
      (one) => one.body !== body && one.toldAt < lastAsked && isBehind(one, own),
    )
    if (later !== undefined) found.push(`${key}: an older outcome came back after a newer one`)
    before = { body, firstAt }
  }
  return found
}

/** All of `own` were first told before that one was. */
function isBehind(one: Told, own: readonly Told[]): boolean {
  return Math.min(...own.map(({ toldAt }) => toldAt)) < one.toldAt
}

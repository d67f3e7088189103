/**
 * Clients that book rides through several stores of one database until they are told to stop: each key is asked for
 * twice at one time, and again until it is answered; what was answered is asked for again, by chance. The answers and
 * the rows are then held against each other.
 */
import { randomUUID } from 'node:crypto'
import { expect } from 'vitest'
import type { Store } from '../../src/core/store.ts'
import { createIdempotency, PawlError, type RunResult } from '../../src/index.ts'

const RETRY_MS = 20
const SETTLE_MAX_MS = 30_000
const REPLAYS = 0.3
const STAGES = ['ride_created', 'receipt']

/** A row of the effects: no constraint would stop a second one. */
export interface Effect {
  readonly key: string
  readonly stage: string
  readonly note: string
}

/** One engine over one store. */
export interface Worker {
  ask(scope: string, key: string): Promise<RunResult>
}

/** @param add - inserts a row on the transaction of a stage */
export function worker<Tx>(
  store: Store<Tx, never>,
  add: (tx: Tx, effect: Effect) => Promise<unknown>,
): Worker {
  const any = store as unknown as Store<unknown>
  const idempotency = createIdempotency({ store: any, lease: '500ms', storeTimeout: '2s' })
  return {
    ask: (scope, key) =>
      idempotency.run({ operation: 'book', scope, key, input: null }, async (_input, run) => {
        const book = async (tx: Tx, stage: string): Promise<string> => {
          const note = `${stage} ${randomUUID()}`
          await add(tx, { key, stage, note })
          return note
        }
        // Drawn at random in each execution: a stage that ran twice shows in the bytes.
        const ride = await run.stage('ride_created', (tx) => book(tx as Tx, 'ride_created'))
        return await run.finish(async (tx) => ({
          status: 201,
          body: { notes: [ride, await book(tx as Tx, 'receipt')] },
        }))
      }),
  }
}

/** Clients at work. */
export interface Load {
  /** Bodies by key, as first answered. */
  readonly answered: ReadonlyMap<string, string>
  /** Keys that wait for their answer. */
  readonly asking: () => number
  /** What else was said, how often. */
  readonly others: ReadonlyMap<string, number>
  readonly replays: () => number
  /** Resolves once so many more keys have been answered. */
  more(count: number): Promise<void>
  /** No new keys; resolves when all are answered, and each once more from the start. */
  settle(): Promise<void>
}

/** Begins at once. */
export function startLoad(workers: readonly Worker[], clients: number): Load {
  const scope = randomUUID()
  const answered = new Map<string, string>()
  const others = new Map<string, number>()
  const wrong: string[] = []
  let asking = 0
  let replays = 0
  let over = false
  let deadline = Infinity

  const note = (what: string): void => void others.set(what, (others.get(what) ?? 0) + 1)
  const one = async (key: string): Promise<void> => {
    const asked = workers[Math.floor(Math.random() * workers.length)] as Worker
    try {
      const result = await asked.ask(scope, key)
      if (result.kind !== 'finished') return note(result.kind)
      const body = Buffer.from(result.outcome.body ?? []).toString()
      const first = answered.get(key)
      if (first !== undefined && first !== body) wrong.push(`${key}: ${first}, then ${body}`)
      if (first === undefined) answered.set(key, body)
      if (result.replayed) replays++
    } catch (error) {
      if (!PawlError.is(error) || !error.retryable) wrong.push(`${key}: ${String(error)}`)
      note(PawlError.is(error) ? error.code : String(error))
    }
  }
  const untilAnswered = async (key: string): Promise<void> => {
    asking++
    while (!answered.has(key)) {
      await Promise.all([one(key), one(key)])
      if (performance.now() > deadline) throw new Error(`${key} was not answered in time`)
      if (!answered.has(key)) await pause(RETRY_MS * (1 + Math.random()))
    }
    asking--
  }
  const client = async (): Promise<void> => {
    while (!over) {
      await untilAnswered(randomUUID())
      if (Math.random() > REPLAYS) continue
      const keys = [...answered.keys()]
      await one(keys[Math.floor(Math.random() * keys.length)] as string)
    }
  }
  const running = Promise.all(Array.from({ length: clients }, client))
  running.catch(() => undefined) // settle() hears of it.
  return {
    answered,
    asking: () => asking,
    others,
    replays: () => replays,
    more: async (count) => {
      const enough = answered.size + count
      const late = performance.now() + SETTLE_MAX_MS
      while (answered.size < enough) {
        if (performance.now() > late) throw new Error(`no answers: ${said(others)}`)
        await pause(RETRY_MS)
      }
    },
    settle: async () => {
      over = true
      deadline = performance.now() + SETTLE_MAX_MS
      await running
      const before = replays
      for (const key of answered.keys()) {
        await one(key)
        if (performance.now() > deadline) throw new Error(`no replays: ${said(others)}`)
      }
      expect(wrong).toEqual([])
      expect(replays - before).toBe(answered.size)
    },
  }
}

/** Of each key and stage one row, and it is the one that the client was told. */
export function expectOneOfEach({ answered }: Load, effects: readonly Effect[]): void {
  const told = new Map([...answered].map(([key, body]) => [key, notesOf(body)]))
  const rows = effects.map(({ key, note }) => `${key} ${note}`)
  const expected = [...told].flatMap(([key, notes]) => notes.map((text) => `${key} ${text}`))
  expect(effects).toHaveLength(answered.size * STAGES.length)
  expect(rows.toSorted()).toEqual(expected.toSorted())
}

function notesOf(body: string): readonly string[] {
  return (JSON.parse(body) as { notes: string[] }).notes
}

/** `503 store_unavailable ×12, in_progress ×3`. */
export function said(others: ReadonlyMap<string, number>): string {
  return [...others].map(([what, count]) => `${what} ×${String(count)}`).join(', ')
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** Clients that ask until they have their answer, or ask once and never again. */
import { type Ledger, pause } from './ledger.ts'
import type { Reply } from './rides.ts'

const RETRY_MS = 30
const SETTLE_MAX_MS = 60_000

export type Ask = (key: string) => Promise<Reply>

/** Clients at work. */
export interface Clients {
  /** No new keys from now on. Those that retry go on until each has its answer. @throws one had none in time */
  settle(): Promise<void>
  /** Keys that wait for their answer now, and since when. */
  readonly waiting: ReadonlyMap<string, number>
}

/** How they ask. */
export interface ClientsOptions {
  readonly ask: Ask
  readonly ledger: Ledger
  readonly count: number
  /** In [0, 1), for whatever is drawn. */
  readonly random: () => number
  /** Names a key. */
  readonly nextKey: () => string
  /** The part of the keys that is asked for once, whatever came of it. None by default. */
  readonly neverRetry?: number
  /** The part of the answered keys that is asked for again. */
  readonly replay?: number
  /** Told what a client waited for its answer, in milliseconds. */
  readonly answered?: (key: string, ms: number) => void
  readonly retryMs?: number
}

/** Begins at once. */
export function startClients(options: ClientsOptions): Clients {
  const { ledger, count, random, nextKey, neverRetry = 0, replay = 0.2 } = options
  const { retryMs = RETRY_MS } = options
  const waiting = new Map<string, number>()
  let over = false
  let deadline = Infinity
  const one = async (key: string): Promise<boolean> => ledger.note(key, await options.ask(key))
  const client = async (): Promise<void> => {
    while (!over) {
      await turn()
      const key = nextKey()
      const since = performance.now()
      if (random() < neverRetry) {
        await one(key)
        continue
      }
      waiting.set(key, since)
      while (!(await one(key))) {
        if (performance.now() > deadline)
          throw new Error(`${key} was not answered in time; last told: ${lastOf(ledger)}`)
        await pause(retryMs * (0.5 + random()))
      }
      waiting.delete(key)
      options.answered?.(key, performance.now() - since)
      if (random() < replay) await one(key)
    }
  }
  const running = Promise.all(Array.from({ length: count }, client))
  running.catch(() => undefined) // settle() hears of it.
  return {
    waiting,
    settle: async () => {
      over = true
      deadline = performance.now() + SETTLE_MAX_MS
      await running
    },
  }
}

/** A library that answers at once, as those of SQLite, leaves no room for anybody's timers. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function lastOf({ problems }: Ledger): string {
  return [...problems].map(([code, count]) => `${code} ×${count}`).join(', ')
}

/** A few keys that many ask for at one time, new ones each second, and between them keys that only one asks for. */
export function mixedKeys(
  prefix: string,
  random: () => number,
  { hot, share, everyMs = 1_000 }: { hot: number; share: number; everyMs?: number },
): () => string {
  let nth = 0
  const began = performance.now()
  return () => {
    if (random() >= share) return `${prefix}-${String(++nth)}`
    const wave = Math.floor((performance.now() - began) / everyMs)
    return `${prefix}-hot-${String(wave)}-${String(Math.floor(random() * hot))}`
  }
}

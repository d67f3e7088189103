/** Nodes of an application in this process: each an API over a pool of its own, with a completer, told apart by chance. */
import { createCompleter } from '../../src/workers/index.ts'
import type { PawlEvent } from '../../src/index.ts'
import type pg from 'pg'
import type { Ask } from './clients.ts'
import type { Ledger } from './ledger.ts'
import { createRides, type RidesOptions } from './rides.ts'
import { overPool, ridesPool } from './rides-postgres.ts'

/** Events, by type: how often. */
export type EventCounts = ReadonlyMap<PawlEvent['type'], number>

/** Some nodes. */
export interface Nodes {
  /** Asks one of them. */
  readonly ask: Ask
  /** By its number. */
  readonly asks: readonly Ask[]
  readonly events: EventCounts
  /** Of everything that was committed unheard, what had landed and what had not. */
  readonly resolved: { landed: number; not: number }
  end(): Promise<void>
}

/** How they are made. */
export interface NodesOptions {
  /** One for each node. */
  readonly urls: readonly string[]
  readonly ledger: Ledger
  readonly random: () => number
  readonly leaseMs: number
  readonly storeTimeoutMs: number
  readonly pool?: pg.PoolConfig
  /** They have none by default. */
  readonly completerMs?: number
  /** What stands before each node's store. */
  readonly before?: (store: RidesOptions<pg.PoolClient>['store']) => typeof store
}

export function startNodes(options: NodesOptions): Nodes {
  const { urls, ledger, random, leaseMs, storeTimeoutMs, completerMs, before = same } = options
  const events = new Map<PawlEvent['type'], number>()
  const resolved = { landed: 0, not: 0 }
  const onEvent = (event: PawlEvent): void => {
    events.set(event.type, (events.get(event.type) ?? 0) + 1)
    if (event.type === 'commit_resolved') resolved[event.landed ? 'landed' : 'not']++
  }
  const nodes = urls.map((url) => {
    const pool = ridesPool(url, options.pool)
    const charge: RidesOptions<pg.PoolClient>['charge'] = async (one) => ledger.charged(one)
    const { store, insert } = overPool(pool)
    const rides = createRides({
      ...{ store: before(store), insert, leaseMs, storeTimeoutMs, onEvent, charge },
    })
    const completer =
      completerMs === undefined
        ? undefined
        : createCompleter(rides.idempotency, {
            every: `${completerMs}ms`,
            backoff: { first: `${completerMs}ms`, max: '1s' },
          })
    completer?.start()
    const end = async (): Promise<void> => {
      await completer?.stop()
      await rides.idempotency.close()
      await pool.end()
    }
    return { ask: rides.ask, end }
  })
  const asks = nodes.map(
    ({ ask }): Ask =>
      (key) =>
        ask(key),
  )
  return {
    ask: (key) => (asks[Math.floor(random() * asks.length)] as Ask)(key),
    asks,
    events,
    resolved,
    end: async () => {
      await Promise.all(nodes.map(({ end }) => end()))
    },
  }
}

function same<T>(store: T): T {
  return store
}

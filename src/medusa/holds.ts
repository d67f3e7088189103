/**
 * The keys that this process holds. The service is given a key and nothing else, by instances that do not know each
 * other: who owns a lease is found by key, in the request's own context where there is one, else in the process.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { systemRuntime } from '../core/runtime.ts'

/** One attempt's hold on a key. */
export interface Hold {
  readonly key: string
  readonly owner: string
  readonly attempt: number
  /** Where its row was when it was seen last. */
  place: string
  /** `initializeRequest` took it, and `lock` has not been called since: the same request may lock its key once. */
  lockable: boolean
  /** A stage is running. */
  isBusy: boolean
  /**
   * The attempt is over. It stays known for a while: its request may call again, and must not go on from what it saw if
   * somebody else has worked on the key since.
   */
  hasEnded: boolean
  /** When this process last heard of it: monotonic milliseconds. */
  heardAt: number
  /** When its lease was last set, as far as this process knows. */
  leasedAt: number
}

/** What renews leases and gives them back: outside of any transaction, on a connection of the pool. */
export interface HoldsStore {
  /** @returns where the rows of these keys are now */
  renew(holds: readonly Hold[], leaseMs: number): Promise<ReadonlyMap<string, string>>
  release(hold: Hold): Promise<void>
}

/** How long leases are renewed. */
export interface HoldsTimes {
  readonly leaseMs: number
  readonly idleMs: number
}

const requests = new AsyncLocalStorage<Map<Holds, Map<string, Hold>>>()

/** Runs a request with holds of its own: two requests of one key in one process are then told apart for certain. */
export function withinRequest<R>(request: () => R): R {
  return requests.run(new Map(), request)
}

/** Gives back what the request that is running now still holds; for its end. */
export function releaseRequest(): () => void {
  const held = requests.getStore()
  return () => {
    for (const [holds, byKey] of held ?? []) {
      for (const hold of byKey.values()) holds.giveUp(hold)
    }
  }
}

/** The holds of this process on one table. */
export class Holds {
  readonly #store: HoldsStore
  readonly #times: HoldsTimes
  readonly #byKey = new Map<string, Hold>()
  #cancel: (() => void) | undefined

  constructor(store: HoldsStore, times: HoldsTimes) {
    this.#store = store
    this.#times = times
  }

  /** The hold of the request that asks, as far as it can be told; also one that has ended. */
  of(key: string): Hold | undefined {
    const held = requests.getStore()
    const hold = held === undefined ? this.#byKey.get(key) : held.get(this)?.get(key)
    if (hold?.hasEnded === false) hold.heardAt = systemRuntime.now()
    return hold
  }

  /** The owner of the last attempt of this process on a key, if it is over: its row may be taken at once. */
  endedOwner(key: string): string | undefined {
    const hold = this.#byKey.get(key)
    return hold?.hasEnded === true ? hold.owner : undefined
  }

  take(taken: Pick<Hold, 'key' | 'owner' | 'attempt' | 'place' | 'lockable'>): Hold {
    const { key } = taken
    const now = systemRuntime.now()
    const hold = { ...taken, hasEnded: false, isBusy: false, heardAt: now, leasedAt: now }
    this.#byKey.set(key, hold)
    const held = requests.getStore()
    if (held !== undefined) {
      const byKey = held.get(this) ?? new Map<string, Hold>()
      held.set(this, byKey.set(key, hold))
    }
    this.#cancel ??= this.#next()
    return hold
  }

  /** A key that nobody holds was stored: what this process knew of it is of an earlier one. */
  forget(key: string): void {
    this.#byKey.delete(key)
    requests.getStore()?.get(this)?.delete(key)
  }

  /** A stage has set its lease anew, and moved its row. */
  moved(hold: Hold, place: string): void {
    hold.place = place
    hold.leasedAt = systemRuntime.now()
  }

  /** The attempt is over. */
  end(hold: Hold): void {
    hold.hasEnded = true
  }

  /**
   * The attempt has failed. Nobody waits for the lease to be given back: the failed stage still has the row locked, and
   * whoever waited for a second connection while holding one could empty the pool.
   */
  giveUp(hold: Hold): void {
    if (hold.hasEnded) return
    this.end(hold)
    this.#store.release(hold).catch(() => undefined)
  }

  async #renew(live: readonly Hold[]): Promise<void> {
    const places = await this.#store
      .renew(live, this.#times.leaseMs)
      .catch(() => new Map<string, string>())
    for (const hold of live) {
      const place = places.get(hold.key)
      if (place !== undefined) this.moved(hold, place)
    }
  }

  #next(): () => void {
    return systemRuntime.timer(this.#times.leaseMs / 3, () => void this.#beat(), true)
  }

  async #beat(): Promise<void> {
    const { leaseMs, idleMs } = this.#times
    const now = systemRuntime.now()
    const live: Hold[] = []
    for (const hold of this.#byKey.values()) {
      if (now - hold.heardAt < idleMs && !hold.hasEnded) {
        // Not the young: whoever is about to work on a row at SERIALIZABLE fails when it changes.
        if (now - hold.leasedAt > leaseMs / 3) live.push(hold)
      }
      // It lapses by itself; it stays known for as long as its lease may last.
      else if (now - hold.heardAt > idleMs + leaseMs) this.#byKey.delete(hold.key)
    }
    if (live.length > 0) await this.#renew(live)
    this.#cancel = this.#byKey.size > 0 ? this.#next() : undefined
  }
}

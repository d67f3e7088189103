/**
 * The store in memory: for tests of an application, with a clock that the test moves. Nothing outlives the process, so
 * it refuses to be used in production.
 */
import { type Duration, milliseconds } from '../core/duration.ts'
import { ConfigError, LeaseLostError } from '../core/errors.ts'
import { ERASED, type FoundRecord, type StoppedState, type WholeRecord } from '../core/record.ts'
import { isProduction, systemRuntime } from '../core/runtime.ts'
import type {
  ClaimInput,
  ClaimReply,
  CommitOptions,
  Erased,
  EraseInput,
  ForgetInput,
  Hold,
  ResetInput,
  RestartInput,
  Seen,
  Store,
  TakeOverInput,
  Write,
} from '../core/store.ts'
import { MemoryBacklog } from './memory-backlog.ts'
import {
  erased,
  first,
  found,
  isForgettable,
  isFree,
  isHeld,
  isLapsed,
  type MemoryRecord,
  restarted,
  startedAnew,
  stopped,
  takenOver,
  wholeOf,
  written,
} from './memory-record.ts'

/** Opens a transaction of a fake, or of a test database: commits when `work` resolves, rolls back when it rejects. */
export type MemoryTransaction<Tx> = <R>(work: (tx: Tx) => Promise<R>) => Promise<R>

/** A store of tests. */
export interface MemoryStore<Tx> extends Store<Tx, never> {
  /** Lets time pass: leases lapse, outcomes expire. Nothing is waited for. */
  advance(by: Duration): void
  /** What is stored, oldest first. */
  records(): readonly FoundRecord[]
  /** Forgets everything. */
  clear(): void
}

const ADVANCE = { min: 0, max: 100 * 365 * 86_400_000 }

/**
 * Keeps records in the memory of this process.
 *
 * @throws {@link ConfigError} `NODE_ENV` is `production`
 */
export function memoryStore(): MemoryStore<undefined>
/** @param options.transaction - what a stage runs in; its `tx` is what it hands to `work` */
export function memoryStore<Tx>(options: {
  readonly transaction: MemoryTransaction<Tx>
}): MemoryStore<Tx>
export function memoryStore<Tx>(
  options: { readonly transaction?: MemoryTransaction<Tx> } = {},
): MemoryStore<Tx> {
  if (isProduction()) {
    throw new ConfigError(
      'memoryStore: it forgets everything when the process ends, and other processes never see it. Use a store of ' +
        'your database, for example pgStore(pool); in tests, do not set NODE_ENV to production.',
    )
  }
  return new InMemory(options.transaction ?? ((work) => work(undefined as Tx)))
}

class InMemory<Tx> implements MemoryStore<Tx> {
  readonly #open: MemoryTransaction<Tx>
  readonly #records = new Map<string, MemoryRecord>()
  /** By id: commits between their fence and their end, which nobody looks past. */
  readonly #commits = new Map<string, Promise<unknown>>()
  readonly backlog = new MemoryBacklog(
    (id) => this.find(id),
    () => this.#now(),
  )
  #advanced = 0
  #executions = 0

  constructor(open: MemoryTransaction<Tx>) {
    this.#open = open
  }

  advance(by: Duration): void {
    this.#advanced += milliseconds('advance', by, ADVANCE)
  }

  records(): readonly FoundRecord[] {
    return [...this.#records.values()].map((record) => found(record, this.#now()))
  }

  clear(): void {
    this.#records.clear()
    this.backlog.clear()
  }

  migrate(): Promise<void> {
    return Promise.resolve()
  }

  check(): ReturnType<Store<Tx>['check']> {
    return Promise.resolve([])
  }

  async claim(input: ClaimInput): Promise<ClaimReply> {
    return await this.#settled(input.id, (record): ClaimReply => {
      if (record !== undefined) return { kind: 'found', record: found(record, this.#now()) }
      const execution = this.#execution()
      this.#records.set(input.id, first(input, this.#now(), execution))
      if (input.task) this.backlog.enter(input, input.task.dueMs)
      return { kind: 'inserted', execution }
    })
  }

  async takeOver(input: TakeOverInput): Promise<FoundRecord | undefined> {
    return await this.#change(input.id, (record, now) =>
      isLapsed(record, input, now) ? takenOver(record, input, now) : undefined,
    )
  }

  async stop(seen: Seen, to: StoppedState): Promise<boolean> {
    const changed = await this.#change(seen.id, (record, now) =>
      isLapsed(record, seen, now) ? stopped(record, to) : undefined,
    )
    return changed !== undefined
  }

  async restart(input: RestartInput): Promise<boolean> {
    return (await this.#change(input.id, (record) => restarted(record, input))) !== undefined
  }

  async reset(input: ResetInput): Promise<FoundRecord | undefined> {
    return await this.#change(input.id, (record, now) => {
      const isSeen = record.attempt === input.attempt && record.state === 'finished'
      if (!isSeen || record.expiresAt > now) return undefined
      if (input.task) this.backlog.enter(record, input.task.dueMs)
      return startedAnew(record, input, now, this.#execution())
    })
  }

  async commit<R>(
    hold: Hold,
    { fenced }: CommitOptions<never>,
    work: (tx: Tx) => Promise<{ readonly value: R; readonly write: Write }>,
  ): Promise<R> {
    let before: MemoryRecord | undefined
    let end = (): void => undefined
    try {
      return await this.#open(async (tx) => {
        const { value, write } = await work(tx)
        await this.#settled(hold.id, (record) => {
          const after = isHeld(record, hold) ? written(record, write, this.#now()) : undefined
          if (after === undefined) throw lost(hold, write)
          const ended = new Promise<void>((resolve) => {
            end = resolve
          })
          this.#commits.set(hold.id, ended)
          before = record
          this.#records.set(hold.id, after)
        })
        await fenced?.()
        return value
      })
    } catch (error) {
      if (before !== undefined) this.#records.set(hold.id, before)
      throw error
    } finally {
      if (before !== undefined) this.#commits.delete(hold.id)
      end()
    }
  }

  async transaction<R>(_: CommitOptions<never>, work: (tx: Tx) => Promise<R>): Promise<R> {
    return await this.#open(work)
  }

  async write(hold: Hold, write: Write): Promise<boolean> {
    const changed = await this.#change(hold.id, (record, now) =>
      isHeld(record, hold) ? written(record, write, now) : undefined,
    )
    return changed !== undefined
  }

  async reread(id: string): Promise<FoundRecord | undefined> {
    return await this.#settled(id, (record) => record && found(record, this.#now()))
  }

  async find(id: string): Promise<WholeRecord | undefined> {
    return await this.#settled(id, (record) => record && wholeOf(record, this.#now()))
  }

  heartbeat(holds: readonly Hold[], leaseMs: number): Promise<readonly Hold[]> {
    const lost = holds.filter((hold) => {
      const record = this.#records.get(hold.id)
      if (this.#commits.has(hold.id)) return false
      // Finished by this very attempt: the heartbeat crossed it.
      if (record?.state === 'finished' && record.attempt === hold.attempt) return false
      if (!isHeld(record, hold)) return true
      this.#records.set(hold.id, { ...record, lockedUntil: this.#now() + leaseMs })
      return false
    })
    return Promise.resolve(lost)
  }

  reap(limit: number, graceMs: number, tombstoneMs = 0): Promise<number> {
    const now = this.#now()
    const over = [...this.#records.values()]
      .filter(({ state, expiresAt }) => state === 'finished' && expiresAt + graceMs <= now)
      .slice(0, limit)
    for (const record of over) {
      if (tombstoneMs > 0 && record.fingerprint !== ERASED)
        this.#records.set(record.id, erased(record, tombstoneMs, now))
      else this.#records.delete(record.id)
    }
    return Promise.resolve(over.length)
  }

  async forget(seen: ForgetInput): Promise<boolean> {
    return await this.#settled(seen.id, (record) => {
      const isOurs = record !== undefined && isForgettable(record, seen, this.#now())
      return isOurs && this.#records.delete(seen.id)
    })
  }

  async erase(input: EraseInput): Promise<Erased> {
    const { scope, tombstoneMs, after, limit } = input
    const next = [...this.#records.values()]
      .filter(({ id }) => id > after)
      .toSorted((a, b) => (a.id < b.id ? -1 : 1))
      .slice(0, limit)
    const ofScope = next.filter((record) => record.scope === scope).map(({ id }) => id)
    const isErasable = (id: string): boolean => {
      const record = this.#records.get(id)
      const isThere = record !== undefined && record.fingerprint !== ERASED
      return isThere && !this.#commits.has(id) && isFree(record, this.#now())
    }
    await input.found?.(ofScope.filter(isErasable))
    const ids = ofScope.filter(isErasable)
    for (const id of ids) {
      const record = this.#records.get(id)
      if (record !== undefined) this.#records.set(id, erased(record, tombstoneMs, this.#now()))
    }
    return { ids, left: ofScope.length - ids.length, after: next.at(-1)?.id }
  }

  #now(): number {
    return systemRuntime.now() + this.#advanced
  }

  #execution(): string {
    return `execution ${String(++this.#executions)}`
  }

  /** Looks at the record behind any commit that is on its way, and changes it in the same breath. */
  async #settled<R>(id: string, look: (record: MemoryRecord | undefined) => R): Promise<R> {
    while (this.#commits.has(id)) await this.#commits.get(id)
    return look(this.#records.get(id))
  }

  #change(
    id: string,
    to: (record: MemoryRecord, now: number) => MemoryRecord | undefined,
  ): Promise<FoundRecord | undefined> {
    return this.#settled(id, (record) => {
      const next = record && to(record, this.#now())
      if (next === undefined) return undefined
      this.#records.set(id, next)
      return found(next, this.#now())
    })
  }
}

function lost(hold: Hold, write: Write): LeaseLostError {
  return new LeaseLostError({ ...hold, step: write.kind === 'advance' ? write.to : write.kind })
}

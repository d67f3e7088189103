/** What the cases of the store suite work with: processes over one store, whose answers can be held back or lost. */
import assert from 'node:assert/strict'
import type { PawlEvent } from '../core/events.ts'
import { createIdempotency, type Idempotency, type RunResult } from '../core/idempotency.ts'
import { idOf } from '../core/identity.ts'
import type { FoundRecord } from '../core/record.ts'
import type { Runtime } from '../core/runtime.ts'
import type { ClaimInput, Hold, Seen, Store } from '../core/store.ts'
import type { StoreUnderTest } from './store-under-test.ts'

/** One thing that a store must hold. */
export interface StoreCase {
  /** A sentence about behaviour, with the number of its rule in front. */
  readonly title: string
  /** Left out where the store under test has no such part. */
  readonly needs?: 'effects' | 'faults' | 'isolation' | 'closed' | 'readOnly' | 'backlog' | 'erase'
  readonly run: (kit: StoreKit) => Promise<void>
}

/** Methods to put in the place of the store's own. */
export type Change = Partial<Store<unknown>>

/** How a process of the suite is set up. */
export interface ProcessOptions {
  readonly lease?: '250ms' | '10s'
  readonly storeTimeout?: '400ms' | '2s' | '10s'
  readonly runtime?: Runtime
}

/** A lease that lapses soon, and a moment behind its end. */
export const SHORT = { lease: '250ms' } as const
const LAPSED_MS = 350
const RETENTION_MS = 1_000

/** One request. */
export interface Asked {
  readonly operation: string
  readonly scope: string
  readonly key: string
  readonly input: { readonly to: string }
}

/** A process over the store, and one request that it works for. */
export interface Process {
  readonly idempotency: Idempotency<unknown>
  readonly request: Asked
  readonly events: readonly PawlEvent[]
  /** How many events of a type there were. */
  seen(type: PawlEvent['type']): number
  /** Adds an effect of the request. */
  effect(tx: unknown, step: string): Promise<void>
  /** The committed effects of the request, in alphabetical order. */
  effects(): Promise<readonly string[]>
}

/** Of one store under test. */
export class StoreKit {
  readonly under: StoreUnderTest
  #keys = 0

  constructor(under: StoreUnderTest) {
    this.under = under
  }

  get store(): Store<unknown> {
    return this.under.store
  }

  /** A request that nobody else has. */
  request(): Asked {
    const key = `key-${String(++this.#keys)}`
    return { operation: 'create-ride', scope: 'u1', key, input: { to: 'Oslo' } }
  }

  /** A process, with one request of its own. */
  process(change: Change = {}, options: ProcessOptions = {}): Process {
    return this.over(changed(this.store, change), options)
  }

  /** A process over another store. */
  over(store: Store<unknown>, options: ProcessOptions = {}): Process {
    const events: PawlEvent[] = []
    const { lease = '10s', storeTimeout = '2s', runtime } = options
    const idempotency = createIdempotency({
      store,
      lease,
      storeTimeout,
      onEvent: (event) => events.push(event),
      ...(runtime === undefined ? {} : { runtime }),
    })
    const request = this.request()
    return {
      idempotency,
      request,
      events,
      seen: (type) => events.filter((event) => event.type === type).length,
      effect: (tx, step) => this.effect(tx, `${request.key}/${step}`),
      effects: () => this.effectsOf(request.key),
    }
  }

  async effect(tx: unknown, name: string): Promise<void> {
    await this.under.effects?.add(tx, name)
  }

  async effectsOf(key: string): Promise<readonly string[]> {
    const names = (await this.under.effects?.committed()) ?? []
    return names
      .filter((name) => name.startsWith(`${key}/`))
      .map((name) => name.slice(key.length + 1))
      .toSorted()
  }

  /** Lets time pass for the store. */
  async pass(ms: number): Promise<void> {
    if (this.under.advance === undefined) await sleep(ms)
    else await this.under.advance(ms)
  }

  /** Lets a {@link SHORT} lease lapse that nobody renews. */
  async lapse(): Promise<void> {
    await this.pass(LAPSED_MS)
  }

  /** Runs, with an outcome that expires, and lets it expire. */
  async expired<R>(
    run: (request: { readonly retention: '1s' }) => Promise<R>,
    ...asked: Asked[]
  ): Promise<R> {
    const result = await run({ retention: '1s' })
    if (this.under.expire === undefined) await this.pass(RETENTION_MS + 50)
    else for (const one of asked) await this.under.expire(idOf(one))
    return result
  }

  /** The record of a request as it stands, if it is there. */
  async record(asked: Asked): Promise<FoundRecord | undefined> {
    return await this.store.reread(idOf(asked))
  }

  /** Takes over the record of a request, whose lease must have lapsed. */
  async steal(asked: Asked): Promise<FoundRecord> {
    const record = await this.record(asked)
    assert(record !== undefined, 'there is a record to take over')
    const { id, attempt, revision } = record
    const taken = await this.store.takeOver({
      id,
      attempt,
      revision,
      owner: 'thief',
      leaseMs: 10_000,
    })
    assert(taken !== undefined, 'a lapsed record can be taken over')
    return taken
  }
}

/** No lease is renewed. */
export const UNRENEWED: Change = { heartbeat: () => Promise.resolve([]) }

/** The body of what came of it, or what kind of answer it was. */
export function body(result: RunResult): string {
  return result.kind === 'finished'
    ? Buffer.from(result.outcome.body ?? []).toString()
    : result.kind
}

/** Members of `actual` are those of `expected`. */
export function matches(actual: unknown, expected: Readonly<Record<string, unknown>>): void {
  const shown = Object.fromEntries(
    Object.keys(expected).map((name) => [name, (actual as Record<string, unknown>)[name]]),
  )
  assert.deepEqual(shown, expected)
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
}

/** Something to wait for. */
export interface Gate {
  readonly open: () => void
  readonly passed: Promise<void>
}

export function gate(): Gate {
  let open = (): void => undefined
  const passed = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, passed }
}

/** The first call is made, and its answer lost: it rejects with `error` instead. */
export function losesFirst<Args extends readonly unknown[], R>(
  call: (...args: Args) => Promise<R>,
  error: unknown,
): (...args: Args) => Promise<R> {
  let lost = false
  return async (...args) => {
    const result = await call(...args)
    if (lost) return result
    lost = true
    throw error
  }
}

/** A record in nobody's process: claimed by `owner`. */
export async function claimed(
  store: Store<unknown>,
  id: string,
  owner: string,
  change: Partial<ClaimInput> = {},
): Promise<Hold> {
  const times = { leaseMs: 10_000, retentionMs: 60_000 }
  const about = { scope: 's', operation: 'o', key: id, fingerprint: 'v1:x' }
  const request = { method: undefined, path: undefined, task: undefined }
  const reply = await store.claim({ id, owner, ...about, ...request, ...times, ...change })
  assert.equal(reply.kind, 'inserted')
  return { id, owner, attempt: 1 }
}

/** A hold that was given back, and how its record is seen then. */
export async function givenBack({ store }: StoreKit, hold: Hold): Promise<Seen> {
  assert.equal(await store.write(hold, { kind: 'release' }), true)
  const { id, attempt, revision } = (await store.find(hold.id)) ?? { ...hold, revision: -1 }
  return { id, attempt, revision }
}

function changed(store: Store<unknown>, change: Change): Store<unknown> {
  return new Proxy(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(change, name) ?? Reflect.get(target, name)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

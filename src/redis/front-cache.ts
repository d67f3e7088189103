/**
 * Redis in front of another store: an outcome that is final is replayed from there, and the store is not asked. Only
 * what cannot change any more is remembered, so Redis may forget, lag or be gone: that costs speed, nothing else. But
 * what an operator erases or forgets is gone from Redis first, or the operator is told that it is not.
 */
import { ConfigError, StoreUnavailableError } from '../core/errors.ts'
import type { Header, Outcome } from '../core/outcome.ts'
import { FINISHED, type FoundRecord } from '../core/record.ts'
import { within } from '../core/ask.ts'
import { systemRuntime } from '../core/runtime.ts'
import type {
  ClaimInput,
  ClaimReply,
  CommitOptions,
  ForgetInput,
  Hold,
  ResetInput,
  Store,
  TakeOverInput,
  Write,
} from '../core/store.ts'
import { type Redis, type RedisClientLike, redisOf } from './redis-clients.ts'
import { errorOf } from './redis-errors.ts'
import { textOf } from './redis-record.ts'
import { prefixOf, type RedisStoreOptions } from './redis-store.ts'
import { DISREMEMBER, RECALL, REMEMBER } from './scripts.ts'

/** A shorter retention is not worth it: clocks may differ by what is held back of it. */
const RETENTION_MIN_MS = 60_000
/** Of the retention: gone from Redis well before the store lets the key be new again, which may be at nine tenths. */
const REMEMBERED_OF_RETENTION = 0.8
/** Redis is waited for so long, and after that left alone for a while. */
const PATIENCE_MS = 50
const LEFT_ALONE_MS = 1_000
/** But so long where it must forget. */
const FORGETTING_MAX_MS = 1_000
/** A `remember` that was on its way, or waited in a client that was offline, comes within this. */
const FORGOTTEN_MS = 600_000
const HELD_MAX = 10_000

/**
 * A store whose finished outcomes are replayed from Redis.
 *
 * @param store - where the truth is: `pgStore(pool)` …
 * @param client - connected: of `redis` or `ioredis`. Its `maxmemory-policy` does not matter here
 * @throws {@link ConfigError} it is no such client, or `prefix` cannot be used
 */
export function frontCache<Tx, Isolation extends string>(
  store: Store<Tx, Isolation>,
  client: RedisClientLike,
  options: RedisStoreOptions = {},
): Store<Tx, Isolation> {
  const redis = redisOf(client)
  if (redis === undefined)
    throw new ConfigError("frontCache: expected a client or cluster of 'redis' or 'ioredis'.")
  return new FrontCache(store, new Outcomes(redis, `${prefixOf(options)}outcome:`))
}

class FrontCache<Tx, Isolation extends string> implements Store<Tx, Isolation> {
  readonly #store: Store<Tx, Isolation>
  readonly #outcomes: Outcomes
  /** By owner: what the outcome will be an outcome of. */
  readonly #held = new Map<string, { readonly fingerprint: string; readonly execution: string }>()
  readonly migrate: Store<Tx, Isolation>['migrate']
  readonly check: Store<Tx, Isolation>['check']
  readonly stop: Store<Tx, Isolation>['stop']
  readonly restart: Store<Tx, Isolation>['restart']
  readonly transaction: Store<Tx, Isolation>['transaction']
  readonly reread: Store<Tx, Isolation>['reread']
  readonly find: Store<Tx, Isolation>['find']
  readonly heartbeat: Store<Tx, Isolation>['heartbeat']
  readonly reap: Store<Tx, Isolation>['reap']
  readonly erase: Store<Tx, Isolation>['erase']
  readonly backlog: Store<Tx, Isolation>['backlog']

  constructor(store: Store<Tx, Isolation>, outcomes: Outcomes) {
    this.#store = store
    this.#outcomes = outcomes
    this.migrate = () => store.migrate()
    this.check = () => store.check()
    this.stop = (seen, to) => store.stop(seen, to)
    this.restart = (input) => store.restart(input)
    this.transaction = (options, work) => store.transaction(options, work)
    this.reread = (id) => store.reread(id)
    this.find = (id) => store.find(id)
    this.heartbeat = (holds, leaseMs) => store.heartbeat(holds, leaseMs)
    this.reap = (limit, graceMs, tombstoneMs) => store.reap(limit, graceMs, tombstoneMs)
    const erase = store.erase?.bind(store)
    this.erase =
      erase &&
      ((input) => {
        const found = async (ids: readonly string[]): Promise<void> => {
          await outcomes.forget(ids)
          await input.found?.(ids)
        }
        return erase({ ...input, found })
      })
    this.backlog = store.backlog
  }

  async claim(input: ClaimInput): Promise<ClaimReply> {
    const known = await this.#outcomes.recall(input.id)
    if (known !== undefined) return { kind: 'found', record: known }
    const reply = await this.#store.claim(input)
    const { owner, fingerprint } = input
    if (reply.kind === 'inserted') this.#hold(owner, fingerprint, reply.execution)
    if (reply.kind === 'found' && reply.record.owner === owner)
      this.#hold(owner, fingerprint, reply.record.execution)
    return reply
  }

  async takeOver(input: TakeOverInput): Promise<FoundRecord | undefined> {
    const record = await this.#store.takeOver(input)
    if (record !== undefined) this.#hold(input.owner, record.fingerprint, record.execution)
    return record
  }

  async reset(input: ResetInput): Promise<FoundRecord | undefined> {
    const record = await this.#store.reset(input)
    if (record !== undefined) this.#hold(input.owner, input.fingerprint, record.execution)
    return record
  }

  async commit<R>(
    hold: Hold,
    options: CommitOptions<Isolation>,
    work: (tx: Tx) => Promise<{ readonly value: R; readonly write: Write }>,
  ): Promise<R> {
    let last: Write | undefined
    const result = await this.#store.commit(hold, options, async (tx) => {
      const planned = await work(tx)
      last = planned.write
      return planned
    })
    this.#wrote(hold, last)
    return result
  }

  async write(hold: Hold, write: Write): Promise<boolean> {
    const isMade = await this.#store.write(hold, write)
    if (isMade) this.#wrote(hold, write)
    else this.#held.delete(hold.owner)
    return isMade
  }

  async forget(seen: ForgetInput): Promise<boolean> {
    await this.#outcomes.forget([seen.id])
    return await this.#store.forget(seen)
  }

  #hold(owner: string, fingerprint: string, execution: string): void {
    this.#held.set(owner, { fingerprint, execution })
    if (this.#held.size <= HELD_MAX) return
    for (const oldest of this.#held.keys()) {
      this.#held.delete(oldest)
      return
    }
  }

  #wrote(hold: Hold, write: Write | undefined): void {
    if (write === undefined || write.kind === 'advance' || write.kind === 'journal') return
    const held = this.#held.get(hold.owner)
    this.#held.delete(hold.owner)
    if (write.kind !== 'finish' || held === undefined) return
    if (write.retentionMs < RETENTION_MIN_MS) return
    this.#outcomes.remember(hold.id, { ...held, ...write })
  }
}

interface Final {
  readonly fingerprint: string
  readonly execution: string
  readonly outcome: Outcome
  readonly retentionMs: number
}

/** Final outcomes in Redis. Recalling and remembering never throw, and never wait long. */
class Outcomes {
  readonly #redis: Redis
  readonly #prefix: string
  #leftAloneUntil = -Infinity

  constructor(redis: Redis, prefix: string) {
    this.#redis = redis
    this.#prefix = prefix
  }

  async recall(id: string): Promise<FoundRecord | undefined> {
    const reply = await this.#asked(() => this.#redis.run(RECALL, `${this.#prefix}${id}`, []))
    if (!Array.isArray(reply)) return undefined
    const [fingerprint, execution, status, headers, body] = reply as readonly unknown[]
    return {
      id,
      state: 'finished',
      fingerprint: textOf(fingerprint),
      owner: undefined,
      attempt: 1, // Nobody compares it: a final outcome is replayed, or is a mismatch.
      revision: 0,
      recoveryPoint: FINISHED,
      stages: new Map(),
      execution: textOf(execution),
      expired: false,
      leaseLeftMs: 0,
      outcome: {
        status: Number(textOf(status)),
        headers: JSON.parse(textOf(headers)) as readonly Header[],
        body: body instanceof Uint8Array ? body : undefined,
      },
      version: undefined,
    }
  }

  /** Behind the answer to the client. An instant, not a span: a client that was offline may send it late. */
  remember(id: string, { fingerprint, execution, outcome, retentionMs }: Final): void {
    const until = Date.now() + retentionMs * REMEMBERED_OF_RETENTION
    const { status, headers, body } = outcome
    const about = [String(Math.floor(until)), fingerprint, execution, String(status)]
    const kept = body === undefined ? [] : [Buffer.from(body)]
    const args = [...about, JSON.stringify(headers), ...kept]
    void this.#asked(() => this.#redis.run(REMEMBER, `${this.#prefix}${id}`, args))
  }

  /**
   * What is remembered of these, and what is about to be, is not recalled any more.
   *
   * @throws {@link StoreUnavailableError} Redis did not answer
   */
  async forget(ids: readonly string[]): Promise<void> {
    const doing = 'Redis was to forget'
    const each = ids.map((id) =>
      this.#redis.run(DISREMEMBER, `${this.#prefix}${id}`, [String(FORGOTTEN_MS)]),
    )
    try {
      await within({ runtime: systemRuntime }, doing, FORGETTING_MAX_MS, Promise.all(each))
    } catch (error) {
      throw error instanceof StoreUnavailableError ? error : errorOf(doing, error)
    }
  }

  async #asked(question: () => Promise<unknown>): Promise<unknown> {
    if (systemRuntime.now() < this.#leftAloneUntil) return undefined
    try {
      return await within({ runtime: systemRuntime }, 'recalling', PATIENCE_MS, question())
    } catch {
      this.#leftAloneUntil = systemRuntime.now() + LEFT_ALONE_MS
      return undefined
    }
  }
}

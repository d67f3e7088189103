/**
 * Medusa v1's `IdempotencyKeyService`, as its API reference has it: recovery points, atomic work stages, locks; over a
 * key that one request holds at a time, in the transactions of the routes that call it.
 * Protocol: docs/internals/service.md
 */
import { randomUUID } from 'node:crypto'
import type { DeepPartial, EntityManager } from 'typeorm'
import { backoff, TRIES_MAX } from '../core/ask.ts'
import { systemRuntime } from '../core/runtime.ts'
import {
  IdempotencyKeyAmbiguousError,
  IdempotencyKeyConflictError,
  IdempotencyKeyMismatchError,
  IdempotencyKeyNotFoundError,
  RecoveryPointError,
} from './errors.ts'
import type { Hold, Holds } from './holds.ts'
import type {
  CreateIdempotencyKeyInput,
  IdempotencyCallbackResult,
  IdempotencyKey,
  IdempotencyKeyRepository,
  Selector,
} from './idempotency-key.ts'
import {
  type Advanced,
  type NewKey,
  type PlacedKey,
  type SeenKey,
  type StoredKey,
} from './key-store.ts'
import { type IdempotencyKeyServiceOptions, type Settings, settingsOf } from './options.ts'
import { findOf } from './selector.ts'
import { type Shared, sharedOf } from './shared.ts'
import { isOpen, joinable, TransactionBaseService } from './transaction-base-service.ts'
import { whenRolledBack } from './when-rolled-back.ts'

/** What the container holds for the service. */
export interface InjectedDependencies {
  readonly manager: EntityManager
  readonly idempotencyKeyRepository: IdempotencyKeyRepository
}

const FINISHED = 'finished'
const FIRST_ATTEMPT = 1
const POINT_LENGTH_MAX = 100

/** A stage whose work is done. */
interface Staged extends Advanced {
  /** What follows for this process, once the key is known. */
  follow(stored: PlacedKey): void
}

/** Idempotency keys, and the stages of their requests. */
export class IdempotencyKeyService extends TransactionBaseService {
  /** How keys are held. A subclass overrides it: `static override options = { lease: '5s' }`. */
  static options: IdempotencyKeyServiceOptions = {}

  protected readonly idempotencyKeyRepository_: IdempotencyKeyRepository

  /** @param container - `manager` and `idempotencyKeyRepository`: a plain object, or a container's cradle */
  constructor(
    container: InjectedDependencies,
    configModule?: Record<string, unknown>,
    moduleDeclaration?: Record<string, unknown>,
  ) {
    super(container, configModule, moduleDeclaration)
    this.idempotencyKeyRepository_ = container.idempotencyKeyRepository
  }

  /**
   * Takes up a request: its key is stored and held by it, or was stored before and is taken over. A finished key comes
   * back as it is. In a transaction, the claim becomes visible when that commits.
   *
   * @param headerKey - the client's key; empty: one is made up
   * @param reqMethod - with params and path, what another request under the same key is told by
   * @throws {@link IdempotencyKeyConflictError} another request holds the key
   * @throws {@link IdempotencyKeyMismatchError} it was used for another method, path or params
   */
  async initializeRequest(
    headerKey: string,
    reqMethod: string,
    reqParams: Record<string, unknown>,
    reqPath: string,
  ): Promise<IdempotencyKey> {
    const { store } = this.#shared()
    const asked: NewKey = {
      // Of the reference, and of JavaScript callers, an absent header.
      key: headerKey || randomUUID(),
      method: reqMethod,
      params: reqParams,
      path: reqPath,
    }
    const owner = systemRuntime.nonce()
    const manager = this.activeManager_
    const inserted = await store.insert(manager, asked, owner, this.#settings())
    if (inserted !== undefined) {
      const { key } = asked
      const { place } = inserted
      this.#hold(manager, { key, owner, attempt: FIRST_ATTEMPT, place, lockable: true })
      return inserted.key
    }
    const found = await store.look(manager, asked)
    // Inserted by a transaction that this one cannot see: somebody is at work on it.
    if (found === undefined) throw new IdempotencyKeyConflictError('in_progress', {})
    const { mismatch } = this.#settings()
    if (found.isOther && mismatch === 'refuse') throw new IdempotencyKeyMismatchError(found.key.id)
    if (found.key.recovery_point === FINISHED) return found.key
    return (await this.#take(manager, asked.key, found, owner, true)).key
  }

  /**
   * Stores a key that nobody holds yet; the first stage takes it.
   *
   * @param payload - without an `idempotency_key` one is made up
   * @throws {@link IdempotencyKeyConflictError} the key is there already; the transaction goes on
   */
  async create(payload: CreateIdempotencyKeyInput): Promise<IdempotencyKey> {
    const made: NewKey = {
      key: payload.idempotency_key ?? randomUUID(),
      method: payload.request_method,
      params: payload.request_params,
      path: payload.request_path,
    }
    const { store, holds } = this.#shared()
    const created = await store.insert(this.activeManager_, made, undefined, this.#settings())
    if (created === undefined) throw new IdempotencyKeyConflictError('in_progress', {})
    holds.forget(made.key)
    return created.key
  }

  /**
   * Finds one key.
   *
   * @param idempotencyKeyOrSelector - the key, or columns and their values
   * @throws {@link IdempotencyKeyNotFoundError} there is none
   * @throws {@link IdempotencyKeyAmbiguousError} there are several
   */
  async retrieve(
    idempotencyKeyOrSelector: string | Selector<IdempotencyKey>,
  ): Promise<IdempotencyKey> {
    if (idempotencyKeyOrSelector === undefined || idempotencyKeyOrSelector === null) {
      throw new IdempotencyKeyNotFoundError('"idempotencyKeyOrSelector" must be defined: nothing')
    }
    const repository = this.activeManager_.withRepository(this.idempotencyKeyRepository_)
    const found = await repository.find({ where: findOf(idempotencyKeyOrSelector), take: 2 })
    const [key] = found
    if (key === undefined) throw new IdempotencyKeyNotFoundError('the idempotency key')
    if (found.length > 1) throw new IdempotencyKeyAmbiguousError()
    return { ...key } as IdempotencyKey
  }

  /**
   * Holds a key, in one statement. A request that `initializeRequest` gave the key to may lock it once.
   *
   * @throws {@link IdempotencyKeyConflictError} another request holds it
   * @throws {@link IdempotencyKeyNotFoundError} there is no such key
   */
  async lock(idempotencyKey: string): Promise<IdempotencyKey> {
    const { store, holds } = this.#shared()
    const manager = this.activeManager_
    const found = await store.look(manager, keyOnly(idempotencyKey))
    if (found === undefined) throw new IdempotencyKeyNotFoundError('the idempotency key')
    if (found.key.recovery_point === FINISHED) return found.key
    const hold = holds.of(idempotencyKey)
    if (hold?.lockable === true && isHeldBy(found, hold)) {
      hold.lockable = false
      return found.key
    }
    const owner = systemRuntime.nonce()
    return (await this.#take(manager, idempotencyKey, found, owner, false)).key
  }

  /**
   * Changes a key outside of a stage: in the transaction given, else in autocommit. A finished key stays as it is.
   *
   * @param update - columns and their values. `recovery_point: 'finished'` gives the key free
   * @throws {@link IdempotencyKeyConflictError} another request holds it
   * @throws {@link IdempotencyKeyNotFoundError} there is no such key
   * @throws {@link RecoveryPointError} a recovery point that cannot be one
   */
  async update(
    idempotencyKey: string,
    update: DeepPartial<IdempotencyKey>,
  ): Promise<IdempotencyKey> {
    const { store, holds } = this.#shared()
    const manager = this.activeManager_
    if (update.recovery_point !== undefined) checkPoint(update.recovery_point)
    const hold = holds.of(idempotencyKey)
    const updated = await this.#unlocked(manager, idempotencyKey, hold, () =>
      store.update(manager, idempotencyKey, hold, update),
    )
    if (hold !== undefined) {
      hold.place = updated.place
      if (updated.key.recovery_point === FINISHED) holds.end(hold)
    }
    return updated.key
  }

  /**
   * Performs an atomic stage: what the callback writes through its manager, and the recovery point, in one commit. Of
   * a finished key the callback is not run. When the callback throws, the key is free for a retry at once.
   *
   * In the transaction given, or else in one of its own, which is tried again after a serialization failure.
   *
   * @param callback - gives the next recovery point, or the response that finishes the key. Not both: the point wins
   * @returns the key as it is stored, so that a first answer and its replay are the same
   * @throws {@link IdempotencyKeyConflictError} another request holds the key, or has taken it over
   * @throws {@link IdempotencyKeyNotFoundError} there is no such key
   * @throws {@link RecoveryPointError} a recovery point that cannot be one
   */
  async workStage(
    idempotencyKey: string,
    callback: (transactionManager: EntityManager) => Promise<IdempotencyCallbackResult>,
  ): Promise<IdempotencyKey> {
    const { holds, queries } = this.#shared()
    const hold = holds.of(idempotencyKey)
    // A second call with this hold is another request of this process, or a stage inside a stage.
    if (hold?.isBusy === true) throw new IdempotencyKeyConflictError('in_progress', {})
    if (hold !== undefined) hold.isBusy = true
    const isGiven = isOpen(this.activeManager_)
    const work = (manager: EntityManager): Promise<Staged> => {
      // A transaction of the route may be undone after this; one of our own is tried again here, or has failed.
      if (isGiven && hold !== undefined) whenRolledBack(manager, () => holds.giveUp(hold))
      return this.#stage(manager, idempotencyKey, hold, callback, !isGiven)
    }
    try {
      const staged = await this.atomicPhase_(joinable(work, queries.prepared))
      const stored = await staged.stored()
      staged.follow(stored)
      return stored.key
    } catch (error) {
      // What was lost stays known as lost: the request still believes in the point it saw, and may call again.
      const held =
        error instanceof IdempotencyKeyConflictError ? undefined : holds.of(idempotencyKey)
      if (held !== undefined) holds.giveUp(held)
      throw error
    } finally {
      if (hold !== undefined) hold.isBusy = false
    }
  }

  async #stage(
    manager: EntityManager,
    idempotencyKey: string,
    hold: Hold | undefined,
    callback: (transactionManager: EntityManager) => Promise<IdempotencyCallbackResult>,
    isOwn: boolean,
  ): Promise<Staged> {
    const { store, holds } = this.#shared()
    const locked = await this.#unlocked(manager, idempotencyKey, hold, () =>
      store.lockRow(manager, idempotencyKey, hold?.place),
    )
    if (locked.key.recovery_point === FINISHED) {
      const found = await store.look(manager, keyOnly(idempotencyKey))
      if (found === undefined) throw new IdempotencyKeyNotFoundError('the idempotency key')
      return { stored: () => Promise.resolve(found), follow: () => undefined }
    }
    if (!this.#mayWork(locked, hold)) throw this.#conflict(locked, hold)
    const isOurs = hold !== undefined && !hold.hasEnded && isHeldBy(locked, hold)
    const result = await callback(manager)
    const { leaseMs } = this.#settings()
    const next = isOurs
      ? { owner: hold.owner, attempt: hold.attempt, leaseMs }
      : { owner: systemRuntime.nonce(), attempt: locked.attempt + 1, leaseMs }
    const outcome = outcomeOf(result, locked.key.id)
    // The row has been locked since it was read: only the callback itself can have finished it.
    const fenced = (): Error => this.#conflict(locked, hold)
    const { stored } = await store.advance(manager, locked, next, outcome, fenced, isOwn)
    const follow = ({ key: { recovery_point }, place }: PlacedKey): void => {
      if (recovery_point === FINISHED) {
        if (hold !== undefined) holds.end(hold)
      } else if (isOurs) holds.moved(hold, place)
      else {
        const { owner, attempt } = next
        this.#hold(manager, { key: idempotencyKey, owner, attempt, place, lockable: false })
      }
    }
    return { stored, follow }
  }

  async #take(
    manager: EntityManager,
    key: string,
    found: StoredKey,
    owner: string,
    lockable: boolean,
  ): Promise<StoredKey> {
    const { store, holds } = this.#shared()
    const { leaseMs } = this.#settings()
    if (!this.#mayWork(found, undefined)) throw this.#conflict(found, undefined)
    const taken = await this.#unlocked(manager, key, undefined, (seen = found) => {
      const ended = holds.endedOwner(key)
      return store.take(manager, key, seen, { owner, ended, leaseMs })
    })
    const { attempt, place } = taken
    if (taken.owner === owner) this.#hold(manager, { key, owner, attempt, place, lockable })
    return taken
  }

  /**
   * Asks for a record that somebody may have locked. A stage has it for as long as it lasts, and is a conflict; a
   * heartbeat, or a lease that is being given back, for a moment, and is asked again. A finished one is returned.
   *
   * @param ask - gets the record as it was seen since, once it has been asked in vain
   */
  async #unlocked<Found extends SeenKey>(
    manager: EntityManager,
    key: string,
    hold: Hold | undefined,
    ask: (seen?: StoredKey) => Promise<Found | undefined>,
  ): Promise<Found | StoredKey> {
    const { store } = this.#shared()
    let seen: StoredKey | undefined
    for (let tries = 1; ; tries++) {
      const answer = await ask(seen)
      if (answer !== undefined) return answer
      seen = await store.look(manager, keyOnly(key))
      if (seen === undefined) throw new IdempotencyKeyNotFoundError('the idempotency key')
      if (seen.key.recovery_point === FINISHED) return seen
      if (!this.#mayWork(seen, hold) || tries >= TRIES_MAX) throw this.#conflict(seen, hold)
      await backoff(systemRuntime, tries)
    }
  }

  /**
   * True for who holds a key, and for anybody where nobody does. Not for a request whose attempt somebody has come
   * after: what it saw is old, whoever holds the key now. A hold that is ahead of the record was undone.
   */
  #mayWork(found: SeenKey, hold: Hold | undefined): boolean {
    if (hold !== undefined && hold.attempt < found.attempt) return false
    if (found.lapsed || (hold !== undefined && isHeldBy(found, hold))) return true
    const ended = this.#shared().holds.endedOwner(found.key.idempotency_key)
    return ended !== undefined && found.owner === ended
  }

  /** Held from now on; if the transaction is undone, given back, or somebody else's row again. */
  #hold(manager: EntityManager, taken: Parameters<Holds['take']>[0]): void {
    const { holds } = this.#shared()
    const hold = holds.take(taken)
    whenRolledBack(manager, () => holds.giveUp(hold))
  }

  #conflict(found: SeenKey, hold: Hold | undefined): IdempotencyKeyConflictError {
    const isLost = hold !== undefined && !isHeldBy(found, hold)
    return new IdempotencyKeyConflictError(isLost ? 'lease_lost' : 'in_progress', found.key)
  }

  #settings(): Settings {
    return settingsOf((this.constructor as typeof IdempotencyKeyService).options)
  }

  #shared(): Shared {
    return sharedOf(this.manager_, this.idempotencyKeyRepository_, this.#settings())
  }
}

function keyOnly(key: string): NewKey {
  return { key, method: undefined, params: undefined, path: undefined }
}

function isHeldBy(found: SeenKey, hold: Hold): boolean {
  return found.owner === hold.owner && found.attempt === hold.attempt
}

/** A recovery point wins over a response; without one, the key is finished. */
function outcomeOf(
  { recovery_point, response_code, response_body }: IdempotencyCallbackResult,
  id: string,
): { point: string; code: number | undefined; body: unknown } {
  const point = recovery_point ?? FINISHED
  checkPoint(point, id)
  return { point, code: response_code, body: response_body }
}

function checkPoint(point: unknown, id?: string): void {
  if (typeof point !== 'string' || point.length === 0 || point.length > POINT_LENGTH_MAX) {
    throw new RecoveryPointError(point, id)
  }
}

/**
 * The parent of Medusa v1's services: a manager, a transaction's manager, and phases that open a transaction or join
 * the one that is there. What it keeps of a phase it keeps per call, not on the instance, so that a singleton may be
 * used by many requests at once.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { EntityManager } from 'typeorm'
import { backoff, TRIES_MAX } from '../core/ask.ts'
import { systemRuntime } from '../core/runtime.ts'
import { isOfPooler, type PreparedStatements } from '../sql/prepared.ts'
import { joinedPhase } from './joined-phase.ts'

/** TypeORM's names of isolation levels. */
export type IsolationLevel =
  'READ UNCOMMITTED' | 'READ COMMITTED' | 'REPEATABLE READ' | 'SERIALIZABLE'

/** What is told of an error inside a phase. */
type ErrorHandler<TResult, TError> = (error: TError) => Promise<TResult | void>

const phases = new AsyncLocalStorage<ReadonlyMap<TransactionBaseService, EntityManager>>()

const joinables = new WeakMap<object, PreparedStatements>()

/** Marks work of Pawl's own, whose first statement BEGIN may travel with, and COMMIT with its last. */
export function joinable<Work extends object>(work: Work, prepared: PreparedStatements): Work {
  joinables.set(work, prepared)
  return work
}

/** A service whose work happens in transactions. */
export abstract class TransactionBaseService {
  /** What the service was made with: the container's cradle. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- the reference says `any`; a container holds anything
  protected readonly __container__: any
  protected readonly __configModule__?: Record<string, unknown>
  protected readonly __moduleDeclaration__?: Record<string, unknown>
  /** Outside of a transaction: the data source's own. */
  protected manager_: EntityManager
  /** The manager of the transaction this service works in; undefined outside of one. */
  declare protected transactionManager_: EntityManager | undefined
  #transactionManager: EntityManager | undefined

  static {
    // A plain property to a subclass that declares it again, as of the original; of the open phase to whoever reads it.
    Object.defineProperty(this.prototype, 'transactionManager_', {
      configurable: true,
      get(this: TransactionBaseService) {
        return phaseOf(this) ?? this.#transactionManager
      },
      set(this: TransactionBaseService, manager: EntityManager | undefined) {
        this.#transactionManager = manager
      },
    })
  }

  /** @param container - has a `manager` */
  protected constructor(
    // eslint-disable-next-line @typescript-eslint/no-explicit-any -- as above
    container: any,
    configModule?: Record<string, unknown>,
    moduleDeclaration?: Record<string, unknown>,
  ) {
    this.__container__ = container as unknown
    if (configModule !== undefined) this.__configModule__ = configModule
    if (moduleDeclaration !== undefined) this.__moduleDeclaration__ = moduleDeclaration
    this.manager_ = (container as { manager: EntityManager }).manager
  }

  /** The manager to work with: of the open phase, else of the transaction given, else the data source's. */
  protected get activeManager_(): EntityManager {
    return phaseOf(this) ?? this.transactionManager_ ?? this.manager_
  }

  /** A clone that works in the given transaction; without one, the service itself. */
  withTransaction(transactionManager?: EntityManager): this {
    if (transactionManager === undefined) return this
    type Made = new (...made: unknown[]) => this
    const clone = new (this.constructor as Made)(
      this.__container__,
      this.__configModule__,
      this.__moduleDeclaration__,
    )
    clone.manager_ = transactionManager
    clone.transactionManager_ = transactionManager
    return clone
  }

  /** True for a serialization failure and a deadlock: nothing of the transaction was kept. */
  protected shouldRetryTransaction_(err: Record<string, unknown> | { code: string }): boolean {
    return err.code === '40001' || err.code === '40P01'
  }

  /**
   * Does some work in a transaction: the one that is open, or else a new one, which is tried again after a
   * serialization failure or a deadlock, five times at most, also when COMMIT is what fails.
   *
   * @param work - what is to be done; it may be done again from its beginning
   * @param isolationOrErrorHandler - the level of a new transaction, or what is told of an error
   * @param maybeErrorHandlerOrDontFail - what is told of an error; behind an error handler: its result is returned
   * instead of throwing. The error is thrown all the same otherwise
   */
  protected async atomicPhase_<TResult, TError>(
    work: (transactionManager: EntityManager) => Promise<TResult>,
    isolationOrErrorHandler?: IsolationLevel | ErrorHandler<TResult, TError>,
    maybeErrorHandlerOrDontFail?: ErrorHandler<TResult, TError>,
  ): Promise<TResult> {
    const isHandlerFirst = typeof isolationOrErrorHandler === 'function'
    const handler = isHandlerFirst ? isolationOrErrorHandler : maybeErrorHandlerOrDontFail
    const isolation = isHandlerFirst ? undefined : isolationOrErrorHandler
    const dontFail = isHandlerFirst && Boolean(maybeErrorHandlerOrDontFail)
    const given = phaseOf(this) ?? this.transactionManager_
    try {
      if (isOpen(given)) return await this.#inPhase(given, work)
      return await this.#newTransaction(given ?? this.manager_, isolation, work)
    } catch (error) {
      if (handler === undefined) throw error
      if (isOpen(given)) await given.queryRunner?.rollbackTransaction()
      const handled = await handler(error as TError)
      if (dontFail && !isOpen(given)) return handled as TResult
      throw error
    }
  }

  async #newTransaction<TResult>(
    manager: EntityManager,
    isolation: IsolationLevel | undefined,
    work: (transactionManager: EntityManager) => Promise<TResult>,
  ): Promise<TResult> {
    const phase = (opened: EntityManager): Promise<TResult> => this.#inPhase(opened, work)
    const prepared = joinables.get(work)
    for (let tries = 1; ; tries++) {
      try {
        if (prepared !== undefined) return await joinedPhase(manager, isolation, prepared, phase)
        if (isolation === undefined) return await manager.transaction(phase)
        return await manager.transaction(isolation, phase)
      } catch (error) {
        const mayRetry = this.#mayRetry(error) || (prepared !== undefined && isOfPooler(error))
        if (tries >= TRIES_MAX || !mayRetry) throw error
        await backoff(systemRuntime, tries)
      }
    }
  }

  #mayRetry(error: unknown): boolean {
    return (
      typeof error === 'object' &&
      error !== null &&
      this.shouldRetryTransaction_(error as Record<string, unknown>)
    )
  }

  #inPhase<TResult>(
    manager: EntityManager,
    work: (transactionManager: EntityManager) => Promise<TResult>,
  ): Promise<TResult> {
    const outer = phases.getStore() ?? []
    return phases.run(new Map([...outer, [this, manager]]), work, manager)
  }
}

/** The manager of the open phase of this call. What a phase has left running is outside of it once it has ended. */
function phaseOf(service: TransactionBaseService): EntityManager | undefined {
  const manager = phases.getStore()?.get(service)
  return isOpen(manager) ? manager : undefined
}

/** True for the manager of a transaction that has begun and not ended. */
export function isOpen(manager: EntityManager | undefined): manager is EntityManager {
  return manager?.queryRunner?.isTransactionActive === true
}

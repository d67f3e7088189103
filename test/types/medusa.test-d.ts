/** Goal: the service and its parent have the members of the API reference, each with its parameters and result. */
import { expectTypeOf, test } from 'vitest'
import type { DeepPartial, EntityManager, Repository } from 'typeorm'
import {
  type CreateIdempotencyKeyInput,
  type IdempotencyCallbackResult,
  type IdempotencyKey,
  IdempotencyKeyService,
  type IsolationLevel,
  type Selector,
  type TransactionBaseService,
} from '../../src/medusa/index.ts'

type Stage = (transactionManager: EntityManager) => Promise<IdempotencyCallbackResult>

/** A subclass sees what is protected. */
class Reference extends IdempotencyKeyService {
  hold(): void {
    expectTypeOf(this.__container__).toBeAny()
    expectTypeOf(this.__configModule__).toEqualTypeOf<Record<string, unknown> | undefined>()
    expectTypeOf(this.__moduleDeclaration__).toEqualTypeOf<Record<string, unknown> | undefined>()
    expectTypeOf(this.idempotencyKeyRepository_).toEqualTypeOf<Repository<IdempotencyKey>>()
    expectTypeOf(this.manager_).toEqualTypeOf<EntityManager>()
    expectTypeOf(this.transactionManager_).toEqualTypeOf<EntityManager | undefined>()
    expectTypeOf(this.activeManager_).toEqualTypeOf<EntityManager>()
    this.manager_ = this.activeManager_
    this.transactionManager_ = undefined
    expectTypeOf(this.shouldRetryTransaction_).parameters.toEqualTypeOf<
      [Record<string, unknown> | { code: string }]
    >()
    expectTypeOf(this.shouldRetryTransaction_).returns.toEqualTypeOf<boolean>()
  }

  phases(level: IsolationLevel, handler: (error: RangeError) => Promise<number | void>): void {
    const work = (manager: EntityManager): Promise<number> => manager.count('rides')
    expectTypeOf(this.atomicPhase_(work)).toEqualTypeOf<Promise<number>>()
    expectTypeOf(this.atomicPhase_(work, level)).toEqualTypeOf<Promise<number>>()
    expectTypeOf(this.atomicPhase_<number, RangeError>(work, level, handler)).toEqualTypeOf<
      Promise<number>
    >()
    expectTypeOf(this.atomicPhase_<number, RangeError>(work, handler)).toEqualTypeOf<
      Promise<number>
    >()
  }
}

/** As plugins write it. */
class Redeclared extends IdempotencyKeyService {
  declare protected manager_: EntityManager
  protected override transactionManager_: EntityManager | undefined = undefined
}

test('the public members', () => {
  expectTypeOf<IdempotencyKeyService>().toExtend<TransactionBaseService>()
  expectTypeOf<Redeclared>().toExtend<IdempotencyKeyService>()
  expectTypeOf<keyof IdempotencyKeyService>().toEqualTypeOf<
    | 'create'
    | 'initializeRequest'
    | 'lock'
    | 'retrieve'
    | 'update'
    | 'withTransaction'
    | 'workStage'
  >()
  type Service = IdempotencyKeyService
  type Key = Promise<IdempotencyKey>
  expectTypeOf<Service['create']>().toEqualTypeOf<(payload: CreateIdempotencyKeyInput) => Key>()
  expectTypeOf<Service['initializeRequest']>().toEqualTypeOf<
    (
      headerKey: string,
      reqMethod: string,
      reqParams: Record<string, unknown>,
      reqPath: string,
    ) => Key
  >()
  expectTypeOf<Service['lock']>().toEqualTypeOf<(idempotencyKey: string) => Key>()
  expectTypeOf<Service['retrieve']>().toEqualTypeOf<
    (idempotencyKeyOrSelector: string | Selector<IdempotencyKey>) => Key
  >()
  expectTypeOf<Service['update']>().toEqualTypeOf<
    (idempotencyKey: string, update: DeepPartial<IdempotencyKey>) => Key
  >()
  expectTypeOf<Service['workStage']>().toEqualTypeOf<
    (idempotencyKey: string, callback: Stage) => Key
  >()
  expectTypeOf<Reference['withTransaction']>().toBeCallableWith(undefined)
  expectTypeOf<ReturnType<Reference['withTransaction']>>().toEqualTypeOf<Reference>()
})

test('the types around it', () => {
  expectTypeOf<CreateIdempotencyKeyInput>().toEqualTypeOf<{
    request_method?: string
    request_params?: Record<string, unknown>
    request_path?: string
    idempotency_key?: string
  }>()
  expectTypeOf<IdempotencyCallbackResult>().toEqualTypeOf<{
    recovery_point?: string
    response_code?: number
    response_body?: Record<string, unknown>
  }>()
  expectTypeOf<keyof IdempotencyKey>().toEqualTypeOf<
    | 'id'
    | 'idempotency_key'
    | 'created_at'
    | 'locked_at'
    | 'request_method'
    | 'request_params'
    | 'request_path'
    | 'response_code'
    | 'response_body'
    | 'recovery_point'
  >()
})

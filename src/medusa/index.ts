/**
 * `pawl/medusa`: Medusa v1's `IdempotencyKeyService` and its parent, as their API reference has them, over TypeORM 0.3
 * or 1.x.
 * @module
 */
export {
  type ErrorType,
  IdempotencyKeyAmbiguousError,
  IdempotencyKeyConflictError,
  IdempotencyKeyMismatchError,
  IdempotencyKeyNotFoundError,
  RecoveryPointError,
} from './errors.ts'
export {
  type CreateIdempotencyKeyInput,
  type IdempotencyCallbackResult,
  IdempotencyKey,
  type IdempotencyKeyRepository,
  idempotencyKeyRepository,
  type Selector,
} from './idempotency-key.ts'
export { IdempotencyKeyService, type InjectedDependencies } from './idempotency-key-service.ts'
export { migrate, type MigrateOptions, revert } from './migrate.ts'
export type { IdempotencyKeyServiceOptions } from './options.ts'
export {
  idempotencyRequests,
  type IdempotentRequest,
  type IdempotentResponse,
  initializeIdempotencyRequest,
  runIdempotencyStep,
  type RunIdempotencyStepOptions,
  type ServiceContainer,
} from './request-helpers.ts'
export { type IsolationLevel, TransactionBaseService } from './transaction-base-service.ts'

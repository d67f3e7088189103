/**
 * `pawl`: HTTP requests that are safe to retry. The core's public names.
 * @module
 */
export { currentRun } from './core/active-run.ts'
export { CODES, type Code, type CodeFacts } from './core/codes.ts'
export type { Duration } from './core/duration.ts'
export {
  CallTimeoutError,
  ClosedError,
  ConfigError,
  InvariantError,
  KeyInvalidError,
  LeaseLostError,
  OutcomeUnknownError,
  OutsideTransactionError,
  PawlError,
  RecordNotFoundError,
  RecordStateError,
  RecoveryPointUnknownError,
  ResultNotJsonError,
  RunMissingError,
  ScopeMissingError,
  StageAbortedError,
  StepMisusedError,
  StoreFailedError,
  StoreNotMigratedError,
  StoreUnavailableError,
  TransactionEndedError,
  TransactionFailedInsideError,
  VersionUnknownError,
} from './core/errors.ts'
export type { PawlEvent } from './core/events.ts'
export {
  createIdempotency,
  type Idempotency,
  type IdempotencyOptions,
  type Operation,
  type RunRequest,
  type RunResult,
} from './core/idempotency.ts'
export type {
  Authorization,
  OperationDefinition,
  OperationHandler,
  OperationRequest,
} from './core/operation.ts'
export type { OperationOptions } from './core/policy.ts'
export type { Resolution, Resolver, ResolverContext } from './core/resolution.ts'
export type { Json, JsonOnly, NotJson } from './core/json.ts'
export { type Draft, type Header, type Outcome, STORED_HEADERS } from './core/outcome.ts'
export type { ResponseRun, ResponseStore, RunOver } from './core/response-run.ts'
export type {
  CallContext,
  CallFailure,
  CallOptions,
  Finished,
  HandlerResult,
  Run,
  StageOptions,
} from './core/run.ts'
export {
  type Failpoint,
  type FailpointDetail,
  FAILPOINTS,
  type Runtime,
  systemRuntime,
} from './core/runtime.ts'
export type {
  FoundRecord,
  Stages,
  State,
  Step,
  StoppedState,
  Task,
  WholeRecord,
} from './core/record.ts'
export {
  AbortedError,
  type Backlog,
  type ClaimInput,
  type ClaimReply,
  type CommitOptions,
  CommitUnknownError,
  type DueRecord,
  type Erased,
  type EraseInput,
  type ForgetInput,
  type Hold,
  type ResetInput,
  type RestartInput,
  type Seen,
  type Store,
  type StoreProblem,
  type TakeOverInput,
  type Write,
} from './core/store.ts'

/**
 * Every error that crosses Pawl's public API. A message says what happened and what to do; it holds ids and names,
 * never a key, a body or a parameter.
 */
import { CODES, type Code } from './codes.ts'

const brand: unique symbol = Symbol.for('pawl.error') as never

/** The base of all of Pawl's errors: a stable `code`, and what the caller may do. */
export class PawlError extends Error {
  override readonly name: string = 'PawlError'
  /** Stable; see docs/reference/errors.md. */
  readonly code: Code
  /** The same request with the same key may succeed later. */
  readonly retryable: boolean
  /** Asking again under a new key cannot double an effect. */
  readonly safeNewKey: boolean
  /** The record this is about (`ikey_…`), where there is one. */
  readonly id?: string

  constructor(code: Code, message: string, options: { id?: string; cause?: unknown } = {}) {
    super(`PAWL ${code}: ${message}`, 'cause' in options ? { cause: options.cause } : undefined)
    this.code = code
    this.retryable = CODES[code].retryable
    this.safeNewKey = CODES[code].safeNewKey
    if (options.id !== undefined) this.id = options.id
    Object.defineProperty(this, brand, { value: true })
  }

  /** True for an error of Pawl's, also of another copy of the package. */
  static is(error: unknown): error is PawlError {
    return error instanceof Error && brand in error
  }
}

/** An option, at start-up: what was expected, what was given, how to fix it. */
export class ConfigError extends PawlError {
  override readonly name = 'ConfigError'
  constructor(message: string) {
    super('config_invalid', message)
  }
}

/** `scope` gave nothing for a request: the request is refused rather than put in a bucket that others share. */
export class ScopeMissingError extends PawlError {
  override readonly name = 'ScopeMissingError'
  constructor(operation: string, got: string) {
    super(
      'scope_missing',
      `scope of operation "${operation}" returned ${got}; return a non-empty string that names who may share a key ` +
        `(tenant and principal), mount it after authentication, or say scope: 'public'.`,
    )
  }
}

/** The idempotency key itself cannot be used. */
export class KeyInvalidError extends PawlError {
  override readonly name = 'KeyInvalidError'
  constructor(why: string) {
    super('key_invalid', why)
  }
}

/** The store gave no answer in time, or the connection broke. Nothing was decided; the same key may be sent again. */
export class StoreUnavailableError extends PawlError {
  override readonly name = 'StoreUnavailableError'
  constructor(doing: string, cause?: unknown, id?: string) {
    super(
      'store_unavailable',
      `no answer from the store while ${doing}; send the same request again later.`,
      {
        ...(id === undefined ? {} : { id }),
        cause,
      },
    )
  }
}

/** The table is not there, or older than this version of Pawl. */
export class StoreNotMigratedError extends PawlError {
  override readonly name = 'StoreNotMigratedError'
  constructor(table: string, why: string, cause?: unknown) {
    super(
      'store_not_migrated',
      `table ${table}: ${why}. Run "await store.migrate()" once, at deploy or start.`,
      {
        cause,
      },
    )
  }
}

/** The database answered a statement of Pawl's own with an error that trying again will not mend. */
export class StoreFailedError extends PawlError {
  override readonly name = 'StoreFailedError'
  constructor(doing: string, cause: unknown) {
    super(
      'store_failed',
      `the database refused while ${doing}: ${text(cause)}. See cause; store.check() says more.`,
      {
        cause,
      },
    )
  }
}

/** The fence refused a stale attempt: its rows were rolled back and another attempt goes on. */
export class LeaseLostError extends PawlError {
  override readonly name = 'LeaseLostError'
  constructor(at: { readonly id: string; readonly attempt: number; readonly step: string }) {
    super(
      'lease_lost',
      `${at.id} attempt ${at.attempt} was fenced off before "${at.step}" committed; its rows were rolled back. ` +
        `Another attempt goes on. Make the lease longer if the process was not paused.`,
      { id: at.id },
    )
  }
}

/**
 * The database aborted a stage again and again: deadlock, serialization failure, lost connection before COMMIT, or one
 * of the stage's limits of time. The message says which, and what to do.
 */
export class StageAbortedError extends PawlError {
  override readonly name = 'StageAbortedError'
  constructor(
    at: { readonly id?: string; readonly step: string; readonly tries: number },
    cause: unknown,
    remedy = 'shorten the stage or lock rows in one order',
  ) {
    super(
      'stage_aborted',
      `"${at.step}" was aborted by the database ${at.tries} times and nothing of it was committed: ${text(cause)}. ` +
        `Send the same request again; if it happens often, ${remedy}.`,
      { ...(at.id === undefined ? {} : { id: at.id }), cause },
    )
  }
}

/** A statement failed inside a stage, the stage caught the error and went on: the database refused the rest. */
export class TransactionFailedInsideError extends PawlError {
  override readonly name = 'TransactionFailedInsideError'
  constructor(at: { readonly id?: string; readonly step: string }, cause: unknown) {
    super(
      'transaction_failed_inside',
      `a statement failed inside "${at.step}", its error was caught, and the transaction could only roll back. ` +
        `Let the error leave the stage, or put the statement behind a SAVEPOINT.`,
      { ...(at.id === undefined ? {} : { id: at.id }), cause },
    )
  }
}

/** A statement was sent through the transaction of a stage whose work had settled. */
export class TransactionEndedError extends PawlError {
  override readonly name = 'TransactionEndedError'
  constructor() {
    super(
      'transaction_ended',
      'a statement was sent through a transaction whose stage is over, and was refused: it could have committed with ' +
        'somebody else. Await every statement inside the stage; in Promise.all the first error ends the stage while ' +
        'the other branches go on, so use Promise.allSettled, or one statement after another.',
    )
  }
}

/** Inside a stage, the handle of the store was used instead of the stage's transaction. */
export class OutsideTransactionError extends PawlError {
  override readonly name = 'OutsideTransactionError'
  constructor(at: {
    readonly called: string
    readonly remedy: string
    readonly id?: string | undefined
  }) {
    super(
      'outside_transaction',
      `${at.called} was used inside a stage, and was refused: on a connection of its own a write commits even if the ` +
        `stage does not, and a small pool has no second connection. ${at.remedy} What is not part of the stage goes ` +
        `before or behind it, or through another pool. (outside: 'allow' of the store turns this check off.)`,
      at.id === undefined ? {} : { id: at.id },
    )
  }
}

/** A call was sent and its answer never learned; it is not sent again. A resolver or an operator decides. */
export class OutcomeUnknownError extends PawlError {
  override readonly name = 'OutcomeUnknownError'
  constructor(at: { readonly id: string; readonly step: string }, cause?: unknown) {
    super(
      'outcome_unknown',
      `call "${at.step}" of ${at.id} was sent and its answer was not learned. It is not sent again; ` +
        `find out at the called system and resolve the record.`,
      { id: at.id, cause },
    )
  }
}

/** An operator asked for a record that is not there. */
export class RecordNotFoundError extends PawlError {
  override readonly name = 'RecordNotFoundError'
  constructor(id: string) {
    super(
      'record_not_found',
      `there is no record ${id}; give the operation_ref of a problem, or the id of an event. It may have expired.`,
      { id },
    )
  }
}

/** An operator's action is for a record in another state. */
export class RecordStateError extends PawlError {
  override readonly name = 'RecordStateError'
  constructor(at: {
    readonly id: string
    readonly state: string
    readonly wanted: string
    readonly remedy?: string
  }) {
    const remedy = at.remedy ?? 'look at it again, it may have moved on'
    super(
      'record_state',
      `${at.id} is ${at.state}, and this is for a record that is ${at.wanted}; ${remedy}.`,
      { id: at.id },
    )
  }
}

/** A call did not answer within its `timeout`. */
export class CallTimeoutError extends PawlError {
  override readonly name = 'CallTimeoutError'
  constructor(at: { readonly id: string; readonly step: string; readonly timeoutMs: number }) {
    super(
      'call_timeout',
      `call "${at.step}" of ${at.id} gave no answer within ${at.timeoutMs} ms.`,
      { id: at.id },
    )
  }
}

/** The record holds stages that this handler does not pass in the same order: a guess could repeat an effect. */
export class RecoveryPointUnknownError extends PawlError {
  override readonly name = 'RecoveryPointUnknownError'
  constructor(at: { readonly id: string; readonly recorded: string; readonly asked: string }) {
    super(
      'recovery_point_unknown',
      `${at.id} has "${at.recorded}" recorded where the handler ${at.asked}. Nothing was run. ` +
        `Deploy the version that knows "${at.recorded}", and keep the order of stages and calls deterministic.`,
      { id: at.id },
    )
  }
}

/** A version of the operation began the record that this process does not know. Another process may. */
export class VersionUnknownError extends PawlError {
  override readonly name = 'VersionUnknownError'
  constructor(at: { readonly id: string; readonly operation: string; readonly version: string }) {
    super(
      'version_unknown',
      `${at.id} was begun by version ${at.version} of operation "${at.operation}", which this process does not know, ` +
        `so it is left alone. Send the same request again; say renamed: { '${at.version}': {} } if this handler can ` +
        `go on with such records as they are, or drain: { '${at.version}': handler }.`,
      { id: at.id },
    )
  }
}

/** A stage, call or finish was used in a way that could not be resumed after a crash. */
export class StepMisusedError extends PawlError {
  override readonly name = 'StepMisusedError'
  constructor(message: string, id?: string) {
    super('step_misused', message, id === undefined ? {} : { id })
  }
}

/** A stage or call returned a value that JSON cannot carry to a later attempt. */
export class ResultNotJsonError extends PawlError {
  override readonly name = 'ResultNotJsonError'
  constructor(step: string, where: string, what: string) {
    super(
      'result_not_json',
      `the result of "${step}" is not JSON: ${where} is ${what}. Return plain data: strings, numbers, booleans, ` +
        `null, arrays and objects of these.`,
    )
  }
}

/** `currentRun()` was called where no run is. */
export class RunMissingError extends PawlError {
  override readonly name = 'RunMissingError'
  constructor() {
    super(
      'run_missing',
      'currentRun() works inside a handler that idempotent() or idempotency.run() protects.',
    )
  }
}

/** `close()` was called: this process takes no new work, and gives up what it could not finish. */
export class ClosedError extends PawlError {
  override readonly name = 'ClosedError'
  constructor(id?: string) {
    super(
      'closed',
      'this process is shutting down; send the same request again.',
      id === undefined ? {} : { id },
    )
  }
}

/** A fact that the protocol rests on does not hold. */
export class InvariantError extends PawlError {
  override readonly name = 'InvariantError'
  constructor(invariant: string, detail: Readonly<Record<string, string | number | undefined>>) {
    super(
      'invariant_violated',
      `${invariant} ${JSON.stringify(detail)}. Please report it; nothing more was written.`,
    )
  }
}

function text(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

/**
 * From what a database threw to what the core knows. Pawl's own statements never let a raw driver error through; what
 * the application's statements threw inside its stage is the application's, and passes as the same object, unless it
 * says that the whole transaction may be tried again.
 */
import {
  LeaseLostError,
  PawlError,
  StoreFailedError,
  StoreNotMigratedError,
  StoreUnavailableError,
  TransactionFailedInsideError,
} from '../core/errors.ts'
import { AbortedError, CommitUnknownError, type Hold } from '../core/store.ts'
import {
  CommitLostError,
  ConnectError,
  ConnectionLostError,
  FencedError,
  type Limits,
  RolledBackError,
} from './database.ts'
import type { Dialect } from './dialect.ts'
import { limitOf } from './postgres-errors.ts'
import { remedyFor } from './stage-timeouts.ts'

/** Marks what the application's own work threw, so that its errors are never taken for Pawl's. */
class FromWork extends Error {
  constructor(cause: unknown) {
    super('thrown by the work of a stage', { cause })
  }
}

/** The application's part of a transaction. */
export function fromWork<R>(work: Promise<R>): Promise<R> {
  return work.catch((error: unknown) => {
    throw new FromWork(error)
  })
}

/** The meaning of the errors of one store. */
export class Translation {
  readonly #dialect: Dialect
  readonly #table: string

  constructor(dialect: Dialect, table: string) {
    this.#dialect = dialect
    this.#table = table
  }

  /** Of Pawl's own statements. */
  ofStatement(doing: string, error: unknown): unknown {
    if (PawlError.is(error)) return error
    if (
      error instanceof ConnectError ||
      error instanceof ConnectionLostError ||
      error instanceof CommitLostError
    ) {
      return new StoreUnavailableError(doing, error.cause)
    }
    switch (this.#dialect.failureOf(error)) {
      case 'unavailable':
        return new StoreUnavailableError(doing, error)
      case 'aborted':
        return new AbortedError(error)
      case 'not_migrated':
        return new StoreNotMigratedError(this.#table, 'it, or a column of it, is missing', error)
      case 'fenced':
      case 'failed_inside':
      case 'refused':
        return new StoreFailedError(doing, error)
    }
  }

  /** The same, for whoever is not the core: an abort means nothing to them but that they may call again. */
  ofCall(doing: string, error: unknown): unknown {
    const known = this.ofStatement(doing, error)
    return known instanceof AbortedError ? new StoreUnavailableError(doing, known.cause) : known
  }

  /** Of a transaction that carries a record's change, and may have had limits. */
  ofCommit(error: unknown, at: Hold & { readonly step: string }, limits?: Limits): unknown {
    const told = this.#ofCommit(error, at)
    // What the application threw may be anything, also nothing.
    if (
      limits === undefined ||
      !(told instanceof AbortedError || told instanceof CommitUnknownError)
    )
      return told
    const limit = limitOf(told.cause)
    const remedy = limit && remedyFor(limit, limits)
    if (remedy === undefined) return told
    const { cause } = told
    return told instanceof AbortedError
      ? new AbortedError(cause, remedy)
      : new CommitUnknownError(cause, remedy)
  }

  #ofCommit(error: unknown, at: Hold & { readonly step: string }): unknown {
    if (error instanceof CommitLostError) return new CommitUnknownError(error.cause)
    if (error instanceof FencedError) return new LeaseLostError(at)
    // What wraps another error is not the fence's own: an application may divide by zero as well.
    const isBare = error instanceof Error && error.cause === undefined
    if (isBare && this.#dialect.failureOf(error) === 'fenced') return new LeaseLostError(at)
    return this.ofTransaction(error, at)
  }

  /** Of a transaction without a record. */
  ofTransaction(error: unknown, at: { readonly id?: string; readonly step: string }): unknown {
    if (PawlError.is(error)) return error
    if (error instanceof ConnectError) return this.ofStatement('opening a transaction', error)
    if (error instanceof ConnectionLostError) return new AbortedError(unwrapped(error.cause))
    if (error instanceof RolledBackError) return new TransactionFailedInsideError(at, error)
    if (error instanceof FromWork) {
      const own = error.cause
      return this.#dialect.failureOf(own) === 'aborted' ? new AbortedError(own) : own
    }
    if (this.#dialect.failureOf(error) === 'failed_inside') {
      return new TransactionFailedInsideError(at, error)
    }
    return this.ofStatement(`committing "${at.step}"`, error)
  }
}

function unwrapped(error: unknown): unknown {
  return error instanceof FromWork ? error.cause : error
}

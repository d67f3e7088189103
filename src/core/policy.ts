/** What an operation decides for itself, checked once: at its registration, at the start of a route, or at a run. */
import { type Duration, milliseconds } from './duration.ts'
import { ConfigError } from './errors.ts'
import { checkStoredHeaders } from './outcome.ts'

const RETENTION = { min: 1_000, max: 365 * 86_400_000 }
/** How long a tombstone may stay, in milliseconds. */
export const TOMBSTONES: { readonly min: number; readonly max: number } = {
  min: 60_000,
  max: 10 * 366 * 86_400_000,
}
const WAIT = { min: 0, max: 60_000 }
const RESPONSE_MAX_BYTES = 64 * 1024 * 1024

/** What stays the same over all attempts and operations of one route: parsed once. */
export interface Policy {
  readonly retentionMs: number
  readonly waitMs: number
  readonly onError: 'resume' | 'store'
  readonly responseMax: number
  readonly storeHeaders: readonly string[]
}

/** What an operation decides for itself; the same in HTTP and outside of it. */
export interface OperationOptions {
  /** How long an outcome is kept and replayed; afterwards the key is new again. `'24h'` by default (Stripe v1). */
  readonly retention?: Duration
  /**
   * `'resume'` (default, Stripe v2): an error releases the key; committed stages stay and the next attempt goes on.
   * `'store'` (Stripe v1): the error response is stored and replayed.
   */
  readonly onError?: 'resume' | 'store'
  /** What a duplicate does while the first runs: answer at once (default), or wait so long for the outcome. */
  readonly inProgress?: { readonly wait: Duration }
  /** Bytes of a body that are stored; a longer one is not, and a retry is told so. 262,144 by default. */
  readonly responseMax?: number
  /** Names of response headers to store beside the safe ones. */
  readonly storeHeaders?: readonly string[]
}

/**
 * An operation's options, checked once.
 *
 * @throws {@link ConfigError}
 * @internal
 */
export function policyOf(options: OperationOptions): Policy {
  return isOrdinary(options) ? ordinary : checked(options)
}

/** Nothing is decided: `idempotency.run` asks at each request. */
function isOrdinary(options: OperationOptions): boolean {
  const { retention, onError, inProgress, responseMax, storeHeaders } = options
  return (
    retention === undefined &&
    onError === undefined &&
    inProgress === undefined &&
    responseMax === undefined &&
    storeHeaders === undefined
  )
}

const ordinary: Policy = checked({})

function checked(options: OperationOptions): Policy {
  const { onError = 'resume', responseMax = 262_144 } = options
  if (onError !== 'resume' && onError !== 'store') {
    throw new ConfigError(`onError: expected 'resume' or 'store', got ${JSON.stringify(onError)}.`)
  }
  if (!Number.isInteger(responseMax) || responseMax < 0 || responseMax > RESPONSE_MAX_BYTES) {
    throw new ConfigError(
      `responseMax: expected 0 to ${RESPONSE_MAX_BYTES} bytes, got ${String(responseMax)}.`,
    )
  }
  return {
    retentionMs: milliseconds('retention', options.retention ?? '24h', RETENTION),
    waitMs: milliseconds('inProgress.wait', options.inProgress?.wait ?? 0, WAIT),
    onError,
    responseMax,
    storeHeaders: checkStoredHeaders(options.storeHeaders ?? []),
  }
}

/**
 * `createIdempotency`: the options, checked once, and the three things one does with Pawl: protect a request, find the
 * current run, and close.
 */
import { currentRun, type Policy } from './active-run.ts'
import { type Duration, milliseconds } from './duration.ts'
import type { Engine } from './engine.ts'
import { ClosedError, ConfigError, ScopeMissingError } from './errors.ts'
import { announcer, type PawlEvent } from './events.ts'
import { execute, giveUp } from './execute.ts'
import { Inflight } from './inflight.ts'
import { canonicalJson, fingerprintOf, type FingerprintParts } from './fingerprint.ts'
import { Leases } from './heartbeat.ts'
import { checkKey, checkOperation, idOf, scopeText } from './identity.ts'
import type { Json } from './json.ts'
import { checkStoredHeaders, type Outcome } from './outcome.ts'
import type { RunOver } from './response-run.ts'
import type { HandlerResult } from './run.ts'
import { type Runtime, systemRuntime } from './runtime.ts'
import type { Store } from './store.ts'

const LEASE = { min: 200, max: 300_000 }
const RETENTION = { min: 1_000, max: 365 * 86_400_000 }
const WAIT = { min: 0, max: 60_000 }
const STORE_TIMEOUT = { min: 50, max: 60_000 }
const ATTEMPT_MAX = { min: 1_000, max: 86_400_000 }
const CLOSE = { min: 0, max: 600_000 }
const RESPONSE_MAX_BYTES = 64 * 1024 * 1024

/** How `createIdempotency` is set up. Only `store` is required. */
export interface IdempotencyOptions<Tx, Isolation extends string> {
  /** Where records live: `pgStore(pool)`, `pgliteStore(db)` … */
  readonly store: Store<Tx, Isolation>
  /**
   * How long an attempt may go unseen before another takes over; renewed while the process lives. Short leases resume
   * sooner after a crash, long ones tolerate longer pauses. 200 ms to 5 min, `'10s'` by default.
   */
  readonly lease?: Duration
  /** How long one attempt is renewed at most, so that a handler that hangs lets go of its key. `'15m'` by default. */
  readonly attemptMax?: Duration
  /** How long one question to the store may take, retries included, before the answer is 503. `'5s'` by default. */
  readonly storeTimeout?: Duration
  /**
   * Secrets that key the fingerprints (HMAC-SHA-256), newest first: the first signs, all are accepted. Without one, a
   * fingerprint is a plain SHA-256, from which a low-entropy body can be found by trying.
   */
  readonly fingerprintSecrets?: readonly string[]
  /** Told everything that happens; see {@link PawlEvent}. Also on the diagnostics channel `pawl:event`. */
  readonly onEvent?: (event: PawlEvent) => void
  /** The injected world; for tests. */
  readonly runtime?: Runtime
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

/** A request outside of HTTP: a webhook, a message, a job. */
export interface RunRequest<Input extends Json> extends OperationOptions {
  /** The stable name of what is being done. */
  readonly operation: string
  /** Who may share the key: tenant and principal; `'public'` must be said explicitly. */
  readonly scope: string | readonly string[]
  /** What names this one request: a provider's event id, a message id. 1 to 255 printable ASCII characters. */
  readonly key: string
  /** What the handler works on. Another input under the same key is a mismatch. */
  readonly input: Input
  /** The part of the input that identifies the work, where the whole is not: for example the order's id. */
  readonly fingerprint?: Json
}

/** What came of {@link Idempotency.run}. */
export type RunResult =
  /** `replayed`: an earlier attempt finished it. `stored`: false for an error response that a retry may better. */
  | {
      readonly kind: 'finished'
      readonly id: string
      readonly replayed: boolean
      readonly stored: boolean
      readonly outcome: Outcome
    }
  /** Another attempt is working on it. */
  | { readonly kind: 'in_progress'; readonly id: string; readonly retryAfterMs: number }
  /** The key was used for another input. */
  | { readonly kind: 'mismatch'; readonly id: string }
  /** A call was sent and its answer never learned; it is not run again. */
  | { readonly kind: 'unknown'; readonly id: string }

/** A running Pawl. One for each store; share it between routes. */
export interface Idempotency<Tx, Isolation extends string = string> {
  /**
   * Executes a request once, without HTTP.
   *
   * @throws whatever the handler threw; the same request may be run again
   * @throws {@link StoreUnavailableError} no answer from the store; nothing ran, or a later attempt resumes it
   */
  run<Input extends Json>(
    request: RunRequest<Input>,
    handler: (input: Input, run: RunOver<Tx, Isolation>) => Promise<HandlerResult> | HandlerResult,
  ): Promise<RunResult>
  /** The run that this code works for; typed like `store`. */
  currentRun(): RunOver<Tx, Isolation>
  /**
   * Takes no new requests, waits for those in flight, and after `wait` (`'10s'` by default) gives up the rest: their
   * leases are released, their later writes are refused. Call it on SIGTERM, before the pool is closed.
   */
  close(options?: { readonly wait?: Duration }): Promise<void>
  /** @internal */
  readonly engine: Engine<Tx, Isolation>
}

/**
 * Sets Pawl up.
 *
 * @throws {@link ConfigError} an option cannot be used; says which, what was expected, and what to do
 */
export function createIdempotency<Tx, Isolation extends string>(
  options: IdempotencyOptions<Tx, Isolation>,
): Idempotency<Tx, Isolation> {
  if (typeof (options as Partial<typeof options>).store?.claim !== 'function') {
    throw new ConfigError("store: expected a store, for example pgStore(pool) of 'pawl/pg'.")
  }
  const engine = engineOf(options)
  const { inflight } = engine
  return {
    engine,
    currentRun: () => currentRun<Tx, Isolation>(),
    run: async (request, handler) => {
      if (inflight.state !== 'open') throw new ClosedError()
      const answer = await inflight.add(
        execute(engine, claimRequestOf(engine, request), (run) => handler(request.input, run)),
      )
      return resultOf(answer)
    },
    close: async ({ wait = '10s' } = {}) => {
      const waitMs = milliseconds('close wait', wait, CLOSE)
      inflight.enter('closing')
      await new Promise<void>((resolve) => {
        const cancel = engine.runtime.timer(waitMs, resolve)
        void inflight.settled().then(resolve).finally(cancel)
      })
      inflight.enter('closed')
      await giveUp(engine)
      engine.leases.stop()
    },
  }
}

function engineOf<Tx, Isolation extends string>(
  options: IdempotencyOptions<Tx, Isolation>,
): Engine<Tx, Isolation> {
  const { store, runtime = systemRuntime, fingerprintSecrets = [] } = options
  for (const secret of fingerprintSecrets) {
    if (typeof secret !== 'string' || secret.length < 16) {
      throw new ConfigError('fingerprintSecrets: expected strings of at least 16 characters.')
    }
  }
  const leaseMs = milliseconds('lease', options.lease ?? '10s', LEASE)
  const attemptMaxMs = milliseconds('attemptMax', options.attemptMax ?? '15m', ATTEMPT_MAX)
  return {
    store,
    runtime,
    failpoint: runtime.failpoint,
    announce: announcer(options.onEvent),
    leases: new Leases({ store, runtime, leaseMs, attemptMaxMs }),
    inflight: new Inflight(),
    leaseMs,
    storeTimeoutMs: milliseconds('storeTimeout', options.storeTimeout ?? '5s', STORE_TIMEOUT),
    fingerprintSecrets,
  }
}

/**
 * An operation's options, checked once.
 *
 * @throws {@link ConfigError}
 * @internal
 */
export function policyOf(options: OperationOptions): Policy {
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

/**
 * The fingerprint of work that JSON identifies: equal from a webhook and from a browser that name the same work.
 *
 * @internal
 */
export function fingerprintParts(value: Json): FingerprintParts {
  return ['json', canonicalJson(value)]
}

function claimRequestOf<Tx, Isolation extends string, Input extends Json>(
  engine: Engine<Tx, Isolation>,
  request: RunRequest<Input>,
) {
  const { operation, key } = request
  checkOperation(operation)
  checkKey(key)
  const scope = scopeText(request.scope)
  if (scope === undefined)
    throw new ScopeMissingError(operation, JSON.stringify(request.scope) ?? 'undefined')
  const fingerprint = fingerprintOf(
    fingerprintParts(request.fingerprint === undefined ? request.input : request.fingerprint),
    engine.fingerprintSecrets,
  )
  const id = idOf({ operation, scope, key })
  return { id, operation, scope, key, fingerprint, policy: policyOf(request) }
}

function resultOf(answer: Awaited<ReturnType<typeof execute>>): RunResult {
  switch (answer.kind) {
    case 'finished': {
      const { id, stored, response } = answer
      return { kind: 'finished', id, replayed: false, stored, outcome: response }
    }
    case 'replay':
      return {
        kind: 'finished',
        id: answer.id,
        replayed: true,
        stored: true,
        outcome: answer.outcome,
      }
    case 'in_progress':
    case 'mismatch':
    case 'unknown':
      return answer
  }
}

/**
 * `createIdempotency`: the options, checked once, and the three things one does with Pawl: protect a request, find the
 * current run, and close.
 */
import { currentRun } from './active-run.ts'
import { type Duration, milliseconds } from './duration.ts'
import type { Engine } from './engine.ts'
import { ClosedError, ConfigError, ScopeMissingError } from './errors.ts'
import { announcer, type PawlEvent } from './events.ts'
import { execute, giveUp, neverGone } from './execute.ts'
import { Inflight } from './inflight.ts'
import { canonicalJson, fingerprintOf, type FingerprintParts } from './fingerprint.ts'
import { Leases } from './heartbeat.ts'
import { checkKey, checkOperation, type Identity, idOf, scopeText } from './identity.ts'
import type { Json, JsonOnly, NotJson } from './json.ts'
import {
  type OperationDefinition,
  type OperationRequest,
  type Registered,
  register,
  taskOf,
} from './operation.ts'
import type { Outcome } from './outcome.ts'
import { OutcomeCache, type OutcomeCacheOptions } from './outcome-cache.ts'
import type { ClaimRequest, Work } from './claim.ts'
import { type OperationOptions, type Policy, policyOf } from './policy.ts'
import type { RunOver } from './response-run.ts'
import type { HandlerResult } from './run.ts'
import { type Runtime, systemRuntime } from './runtime.ts'
import type { Store } from './store.ts'

const LEASE = { min: 200, max: 300_000 }
const STORE_TIMEOUT = { min: 50, max: 60_000 }
const ATTEMPT_MAX = { min: 1_000, max: 86_400_000 }
const CLOSE = { min: 0, max: 600_000 }

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
  /**
   * Replays what was replayed a moment ago from the memory of this process: `true`, or how much of it and how long.
   * Not by default: for so long as its `ttl` a process does not see what others forget or erase. See
   * docs/performance.md#the-cache.
   */
  readonly cache?: boolean | OutcomeCacheOptions
  /** Told everything that happens; see {@link PawlEvent}. Also on the diagnostics channel `pawl:event`. */
  readonly onEvent?: (event: PawlEvent) => void
  /** The injected world; for tests. */
  readonly runtime?: Runtime
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
  /** The attempts at it are used up; an operator decides. */
  | { readonly kind: 'failed'; readonly id: string }

/** Nothing more is asked of a definition whose input JSON carries unchanged. */
type InputIsJson<Input> = [Input] extends [JsonOnly<Input>]
  ? unknown
  : { readonly handler: NotJson<'the input of an operation is stored: let it be plain data'> }

/** A registered operation: of {@link Idempotency.operation}, for routes, webhooks and jobs. */
export interface Operation<Input> {
  readonly name: string
  readonly version: string
  /**
   * Executes a request once, without HTTP; a completer finishes it if this process dies.
   *
   * @throws as {@link Idempotency.run}
   */
  run(request: OperationRequest<Input>): Promise<RunResult>
  /** @internal */
  readonly registered: unknown
}

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
  /**
   * Registers what an operation does, so that a completer of `pawl/workers` can finish abandoned requests without their
   * client. Register it in every process that runs a completer, before that starts.
   *
   * @param name - stable over deploys and route renames: `'create-ride'`
   * @throws {@link ConfigError} an option cannot be used, or the name is taken
   */
  operation<Input>(
    name: string,
    definition: OperationDefinition<Input, Tx, Isolation> & InputIsJson<Input>,
  ): Operation<Input>
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
      const identity = identityOf(request)
      const asked = askedOf(request)
      const known = remembered(engine, identity, asked)
      if (known !== undefined) return known
      const claim = claimRequestOf(engine, identity, asked, policyOf(request))
      const answer = await inflight.add(
        execute(engine, claim, (run) => handler(request.input, run)),
      )
      return resultOf(answer)
    },
    operation: (name, definition) => {
      const registered = register(name, definition)
      if (engine.operations.has(name))
        throw new ConfigError(`operation: "${name}" is registered already; register it once.`)
      if (registered.graceMs < engine.leaseMs) {
        throw new ConfigError(
          `grace of operation "${name}": ${registered.graceMs} ms is shorter than the lease (${engine.leaseMs} ms), ` +
            `so it would be looked at while its first attempt lives; make it longer.`,
        )
      }
      engine.operations.set(name, registered)
      return {
        name,
        version: registered.version,
        registered,
        run: async (request) => {
          if (inflight.state !== 'open') throw new ClosedError()
          return resultOf(await inflight.add(runRegistered(engine, registered, request)))
        },
      }
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
    outcomes: cacheOf(options.cache, runtime),
    leaseMs,
    attemptMaxMs,
    storeTimeoutMs: milliseconds('storeTimeout', options.storeTimeout ?? '5s', STORE_TIMEOUT),
    fingerprintSecrets,
    operations: new Map(),
  }
}

function cacheOf(
  cache: boolean | OutcomeCacheOptions | undefined,
  runtime: Runtime,
): OutcomeCache | undefined {
  if (cache === undefined || cache === false) return undefined
  if (cache !== true && (typeof cache !== 'object' || cache === null)) {
    throw new ConfigError(
      `cache: expected true, false or { bytesMax, ttl }, got ${JSON.stringify(cache)}.`,
    )
  }
  return new OutcomeCache(cache === true ? {} : cache, () => runtime.now())
}

/** The replay of what was replayed a moment ago, without a digest. */
function remembered<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  identity: Identity,
  asked: string,
): RunResult | undefined {
  const known = engine.outcomes?.replay(identity, asked)
  if (known === undefined) return undefined
  const { id, outcome } = known
  const { operation } = identity
  engine.announce({ type: 'replayed', id, operation, status: outcome.status })
  return { kind: 'finished', id, replayed: true, stored: true, outcome }
}

/** What a request is identified by, as one text. */
function askedOf(request: Pick<RunRequest<Json>, 'input' | 'fingerprint'>): string {
  return canonicalJson(request.fingerprint === undefined ? request.input : request.fingerprint)
}

/**
 * The fingerprint of work that JSON identifies: equal from a webhook and from a browser that name the same work.
 *
 * @internal
 */
export function fingerprintParts(value: Json): FingerprintParts {
  return partsOf(canonicalJson(value))
}

function partsOf(asked: string): FingerprintParts {
  return ['json', asked]
}

async function runRegistered<Tx, Isolation extends string, Input>(
  engine: Engine<Tx, Isolation>,
  registered: Registered<Tx, Isolation>,
  { scope, key, ...request }: OperationRequest<Input>,
) {
  const { task, input } = taskOf(registered, request)
  const { fingerprint } = request
  const asked = askedOf(
    fingerprint === undefined ? { input: input as Json } : { input: null, fingerprint },
  )
  const identity = identityOf({ operation: registered.name, scope, key })
  const work = { registered, input, task }
  const claim = claimRequestOf(engine, identity, asked, registered.policy, work)
  return await execute(engine, claim, (run) =>
    registered.handlerOf(run.version)(input, run as never),
  )
}

/** Who a request is. */
function identityOf({
  operation,
  key,
  scope: given,
}: Pick<RunRequest<Json>, 'operation' | 'scope' | 'key'>): Identity {
  checkOperation(operation)
  checkKey(key)
  const scope = scopeText(given)
  if (scope === undefined)
    throw new ScopeMissingError(operation, JSON.stringify(given) ?? 'undefined')
  return { operation, scope, key }
}

/** And what it is known by. */
function claimRequestOf<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  identity: Identity,
  asked: string,
  policy: Policy,
  work?: Work<Tx, Isolation>,
): ClaimRequest<Tx, Isolation> {
  const { scope, operation, key } = identity
  const fingerprint = fingerprintOf(partsOf(asked), engine.fingerprintSecrets)
  return { id: idOf(identity), scope, operation, key, fingerprint, asked, policy, work }
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
    case 'failed':
      return answer
    case 'gone':
      return neverGone(answer.id)
  }
}

/**
 * The way of one HTTP request: method, key, scope, fingerprint, then the protocol, then the answer. Knows no
 * framework: a framework's file gives it a request and a handler, and sends what comes out.
 * Everything is validated before the store is asked. A client that hangs up changes nothing here.
 * Conformance 1–30, 38–40, 44.
 */
import { randomUUID } from 'node:crypto'
import type { Engine } from '../core/engine.ts'
import { ClosedError, PawlError, ScopeMissingError } from '../core/errors.ts'
import type { Work } from '../core/claim.ts'
import { type Answer, type CapturedDraft, execute, neverGone } from '../core/execute.ts'
import { type Fingerprint, fingerprintOf } from '../core/fingerprint.ts'
import { fingerprintParts } from '../core/idempotency.ts'
import { idOf, scopeText } from '../core/identity.ts'
import type { Json } from '../core/json.ts'
import { type Registered, taskOf } from '../core/operation.ts'
import type { Header, WholeResponse } from '../core/outcome.ts'
import type { HandlerResult, Run } from '../core/run.ts'
import { executeUnprotected } from '../core/unprotected-run.ts'
import { readKey } from './header.ts'
import type { Route } from './options.ts'
import { problemOf, problemOfError, type ProblemFacts } from './problem.ts'
import { replayOf } from './replay.ts'
import type { HttpRequest } from './request.ts'
import { bodyTooLong, requestParts, splitTarget } from './request-fingerprint.ts'

/** What Pawl is, to a framework's file. */
export interface Pawl<Tx, Isolation extends string> {
  readonly engine: Engine<Tx, Isolation>
}

/** What a framework's file does for one request. */
export interface Exchange<Req, Tx, Isolation extends string> {
  /** The framework's own request, for `scope`, `fingerprint` and `rebuild`. */
  readonly native: Req
  readonly request: HttpRequest
  /**
   * Runs the application's handler.
   *
   * @param registered - that of a registered operation, instead of the route's own
   */
  handler(
    run: Run<Tx, Isolation>,
    registered?: (run: Run<Tx, Isolation>) => Promise<HandlerResult> | HandlerResult,
  ): Promise<HandlerResult | CapturedDraft> | HandlerResult | CapturedDraft
  /** Headers that go with whatever is answered, an error of the application's too. Told before the handler runs. */
  announce(headers: readonly Header[]): void
  /** `run.finish` is durable: what it returned is the response, whatever the handler does next. */
  finished?(): void
}

/** What is to be sent. */
export type HttpAnswer =
  /** The handler ran. `finish`: send `response`; `handler`: send what the handler itself made. */
  | {
      readonly kind: 'handled'
      readonly by: 'finish' | 'handler'
      readonly response: WholeResponse
    }
  /** A replay. */
  | { readonly kind: 'replayed'; readonly response: WholeResponse }
  /** A problem. */
  | { readonly kind: 'refused'; readonly response: WholeResponse }

/**
 * Answers one request.
 *
 * @throws whatever the handler threw, after its lease was released
 * @throws {@link PawlError} a programmer's mistake (scope, options, misused steps): for the framework's error handling
 */
export async function handle<Req, Tx, Isolation extends string>(
  pawl: Pawl<Tx, Isolation>,
  route: Route<Req>,
  exchange: Exchange<Req, Tx, Isolation>,
): Promise<HttpAnswer> {
  const { request, native } = exchange
  if (!route.methods.has(request.method.toUpperCase()))
    return await unprotected(pawl, route, exchange, `method ${request.method}`)
  const reading = readKey(request.header(route.header), route)
  if (reading.kind === 'invalid') return refuse(route, { code: 'key_invalid', detail: reading.why })
  if (reading.kind === 'missing' && route.missing === 'reject')
    return refuse(route, { code: 'key_missing' })
  if (reading.kind === 'missing' && route.missing === 'allow')
    return await unprotected(pawl, route, exchange, 'no key')
  const key = reading.kind === 'key' ? reading.key : randomUUID()
  const scope = await scopeOf(route, native)
  const id = idOf({ scope, operation: route.operation, key })
  const isMeasured = route.registered !== undefined && route.fingerprint === undefined
  const tooLong = isMeasured ? await bodyTooLong(request, route.requestMax) : undefined
  if (tooLong !== undefined) return refuse(route, { code: 'body_too_large', id, detail: tooLong })
  const work = await workOf(route, native)
  const fingerprint = await fingerprintFor(pawl, route, exchange, work)
  if (typeof fingerprint === 'string')
    return refuse(route, { code: 'body_too_large', id, detail: fingerprint })
  if (pawl.engine.inflight.state !== 'open') return refusalOf(route, new ClosedError(id), id)
  exchange.announce([
    ...(reading.kind === 'missing' ? generated(route, key) : []),
    ...(route.expiresHeader ? [retention(route)] : []),
  ])
  const identity = { scope, key, id, fingerprint, work }
  return await pawl.engine.inflight.add(protect(pawl, route, exchange, identity))
}

interface Identified<Tx, Isolation extends string> {
  readonly id: string
  readonly scope: string
  readonly key: string
  readonly fingerprint: Fingerprint
  readonly work: Work<Tx, Isolation> | undefined
}

async function protect<Req, Tx, Isolation extends string>(
  pawl: Pawl<Tx, Isolation>,
  route: Route<Req>,
  exchange: Exchange<Req, Tx, Isolation>,
  { id, ...identity }: Identified<Tx, Isolation>,
): Promise<HttpAnswer> {
  const { operation, policy } = route
  const { method, target } = exchange.request
  const path = splitTarget(target).pathname
  let attempt = 0
  let by: 'finish' | 'handler' = 'handler'
  let answer: Answer
  try {
    const claim = { id, operation, ...identity, method, path, policy }
    const work = (run: Run<Tx, Isolation>): ReturnType<typeof exchange.handler> => {
      attempt = run.attempt
      return exchange.handler(run, registeredHandler(identity.work))
    }
    answer = await execute(pawl.engine, claim, work, () => {
      by = 'finish'
      exchange.finished?.()
    })
  } catch (error) {
    const isDown = PawlError.is(error) && error.code === 'store_unavailable'
    if (isDown && attempt === 0 && route.storeUnavailable === 'run_unprotected') {
      warnOnce(operation)
      return await unprotected(pawl, route, exchange, 'store unavailable')
    }
    return refusalOf(route, error, id)
  }
  switch (answer.kind) {
    case 'finished':
      if (pawl.engine.failpoint) await pawl.engine.failpoint('respond.before', { id, attempt })
      return { kind: 'handled', by, response: answer.response }
    case 'replay': {
      const response = await replayOf(route, id, answer.outcome, exchange.native)
      if (pawl.engine.failpoint) await pawl.engine.failpoint('respond.before', { id, attempt })
      return { kind: 'replayed', response }
    }
    case 'in_progress':
      return refuse(route, { code: 'in_progress', id, retryAfterMs: answer.retryAfterMs })
    case 'mismatch':
      return refuse(route, { code: 'payload_mismatch', id, status: route.mismatchStatus })
    case 'unknown':
      return refuse(route, { code: 'outcome_unknown', id })
    case 'failed':
      return refuse(route, { code: 'attempts_exhausted', id })
    case 'gone':
      return neverGone(id)
  }
}

async function unprotected<Req, Tx, Isolation extends string>(
  pawl: Pawl<Tx, Isolation>,
  route: Route<Req>,
  exchange: Exchange<Req, Tx, Isolation>,
  why: string,
): Promise<HttpAnswer> {
  // Nobody shares anything here, so a scope that cannot be told is no reason to refuse.
  const scope = await scopeOf(route, exchange.native).catch(() => '')
  let by: 'finish' | 'handler' = 'handler'
  try {
    const registered = await workOf<Req, Tx, Isolation>(route, exchange.native)
    const version = registered?.registered.version
    const request = { operation: route.operation, scope, why, version }
    const handler = (run: Run<Tx, Isolation>): ReturnType<typeof exchange.handler> =>
      exchange.handler(run, registeredHandler(registered))
    const work = executeUnprotected(pawl.engine, request, handler, () => {
      by = 'finish'
      exchange.finished?.()
    })
    return { kind: 'handled', response: await pawl.engine.inflight.add(work), by }
  } catch (error) {
    return refusalOf(route, error, undefined)
  }
}

/** What a registered operation works on. The first attempt sees what a completer would be given. */
async function workOf<Req, Tx, Isolation extends string>(
  { registered: route }: Route<Req>,
  native: Req,
): Promise<Work<Tx, Isolation> | undefined> {
  if (route === undefined) return undefined
  const registered = route.operation as unknown as Registered<Tx, Isolation>
  const principal = await route.principal?.(native)
  const input = await route.input(native)
  return { registered, ...taskOf(registered, { input, principal }) }
}

function registeredHandler<Tx, Isolation extends string>(work: Work<Tx, Isolation> | undefined) {
  if (work === undefined) return undefined
  const { registered, input } = work
  return (run: Run<Tx, Isolation>) => registered.handlerOf(run.version)(input, run)
}

async function scopeOf<Req>(route: Route<Req>, native: Req): Promise<string> {
  const scope = route.scope === 'public' ? 'public' : await route.scope(native)
  const text = scopeText(scope)
  if (text === undefined) throw new ScopeMissingError(route.operation, kindOf(scope))
  return text
}

/** What was given instead of a scope, without saying it: it may be somebody's identity. */
function kindOf(scope: unknown): string {
  if (scope === '') return 'an empty string'
  if (Array.isArray(scope)) return scope.length === 0 ? '[]' : 'a list with an unusable part'
  return typeof scope === 'string'
    ? 'an unusable string'
    : `${scope === null ? 'null' : typeof scope}`
}

/** A string says why the body cannot be compared. */
async function fingerprintFor<Req, Tx, Isolation extends string>(
  pawl: Pawl<Tx, Isolation>,
  route: Route<Req>,
  { native, request }: Exchange<Req, Tx, Isolation>,
  work: Work<Tx, Isolation> | undefined,
): Promise<Fingerprint | string> {
  const { fingerprintSecrets } = pawl.engine
  if (route.fingerprint !== undefined)
    return fingerprintOf(fingerprintParts(await route.fingerprint(native)), fingerprintSecrets)
  if (work !== undefined)
    return fingerprintOf(fingerprintParts(work.input as Json), fingerprintSecrets)
  const read = await requestParts(request, route.requestMax)
  return read.kind === 'parts' ? fingerprintOf(read.parts, fingerprintSecrets) : read.why
}

/** @throws the error itself, when it is not for the client */
function refusalOf<Req>(route: Route<Req>, error: unknown, id: string | undefined): HttpAnswer {
  const facts = problemOfError(error)
  if (facts === undefined) throw error
  return refuse(route, { ...facts, id: facts.id ?? id })
}

function refuse<Req>(route: Route<Req>, facts: ProblemFacts): HttpAnswer {
  return { kind: 'refused', response: problemOf({ ...facts, docs: route.docs }) }
}

function generated<Req>(route: Route<Req>, key: string): readonly Header[] {
  return [
    [route.header.toLowerCase(), route.strictHeader ? `"${key}"` : key],
    ['access-control-expose-headers', route.header],
  ]
}

function retention<Req>(route: Route<Req>): Header {
  return ['idempotency-key-retention', String(Math.floor(route.policy.retentionMs / 1_000))]
}

const warned = new Set<string>()

function warnOnce(operation: string): void {
  if (warned.has(operation)) return
  warned.add(operation)
  process.emitWarning(
    `operation "${operation}" runs without protection: the store gives no answer and storeUnavailable is ` +
      `'run_unprotected'. A retry runs it again.`,
    'PawlWarning',
  )
}

/**
 * The way of one request through the protocol: claim, run the handler, finish or release. Every branch is here; the
 * steps themselves are one file each.
 * Protocol: docs/internals/protocol.md. Conformance 11–14, 26, 35–41.
 */
import { ActiveRun, asCurrent } from './active-run.ts'
import { claim, type ClaimRequest, type Work } from './claim.ts'
import type { Code } from './codes.ts'
import { within } from './ask.ts'
import type { Engine } from './engine.ts'
import { ClosedError, InvariantError, PawlError } from './errors.ts'
import type { PawlEvent } from './events.ts'
import { finishAlone } from './finish.ts'
import { type Draft, type Outcome, responseOf, type WholeResponse } from './outcome.ts'
import type { HandlerResult, Run } from './run.ts'
import { runFacade } from './run-facade.ts'

/** A response that was captured on its way out. */
export interface CapturedDraft extends Draft {
  /** False for a body that must not be stored: a stream, or one that grew over the limit. */
  readonly keepBody?: boolean
}

/** What came of a request. */
export type Answer =
  /** `stored`: false for an error response that the next attempt may better (`onError: 'resume'`). */
  | {
      readonly kind: 'finished'
      readonly id: string
      readonly response: WholeResponse
      readonly stored: boolean
    }
  | { readonly kind: 'replay'; readonly id: string; readonly outcome: Outcome }
  | { readonly kind: 'in_progress'; readonly id: string; readonly retryAfterMs: number }
  | { readonly kind: 'mismatch'; readonly id: string }
  | { readonly kind: 'unknown'; readonly id: string }
  | { readonly kind: 'failed'; readonly id: string }
  | { readonly kind: 'gone'; readonly id: string }

/** Only a completer goes on with what must be there already. */
export function neverGone(id: string): never {
  throw new InvariantError('a claim that begins a record finds or makes it', { id })
}

/**
 * Executes a request once, or says why not.
 *
 * @param finished - told when `run.finish` is durable, before the handler goes on
 * @throws whatever the handler threw, after its lease was released (`onError: 'resume'`)
 * @throws {@link PawlError} the store, the lease or the handler's use of the run stopped it
 */
export async function execute<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  request: ClaimRequest<Tx, Isolation>,
  handler: (
    run: Run<Tx, Isolation>,
  ) => Promise<HandlerResult | CapturedDraft> | HandlerResult | CapturedDraft,
  finished?: () => void,
): Promise<Answer> {
  const claimed = await claim(engine, request)
  const { id, operation, scope, key, policy, work } = request
  const refused = (code: Code): void =>
    answered(engine, work, { type: 'refused', id, operation, code })
  switch (claimed.kind) {
    case 'finished': {
      const { status } = claimed.outcome
      answered(engine, work, { type: 'replayed', id, operation, status })
      return { kind: 'replay', id: claimed.id, outcome: claimed.outcome }
    }
    case 'in_progress':
      refused('in_progress')
      return claimed
    case 'mismatch':
      refused('payload_mismatch')
      return claimed
    case 'unknown':
      refused('outcome_unknown')
      return claimed
    case 'failed':
      refused('attempts_exhausted')
      return claimed
    case 'gone':
      return claimed
    case 'claimed': {
      const { hold, execution, recoveryPoint, revision, stages, resumed, version } = claimed
      const start = {
        hold,
        key,
        scope,
        operation,
        execution,
        recoveryPoint,
        revision,
        stages,
        resumed,
        version,
        policy,
        finished,
      }
      const run = new ActiveRun(engine, start)
      if (engine.inflight.state === 'closed') {
        await release(run, undefined)
        throw new ClosedError(hold.id)
      }
      const names = work?.registered.namesOf(version)
      return await attempt(run, runFacade(run, names), handler)
    }
  }
}

/** A client was answered. A completer is none: what it finds is in its report. */
function answered<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  work: Work<Tx, Isolation> | undefined,
  event: PawlEvent,
): void {
  if (work?.execution === undefined) engine.announce(event)
}

async function attempt<Tx, Isolation extends string>(
  run: ActiveRun<Tx, Isolation>,
  facade: Run<Tx, Isolation>,
  handler: (
    run: Run<Tx, Isolation>,
  ) => Promise<HandlerResult | CapturedDraft> | HandlerResult | CapturedDraft,
): Promise<Answer> {
  run.engine.leases.add(run)
  try {
    const result = await asCurrent(facade, () => handler(facade))
    if (run.isInside) await run.leave()
    if (run.stopped !== undefined) throw run.stopped
    return concluded(run) ?? (await conclude(run, result))
  } catch (error) {
    return await fail(run, error)
  } finally {
    run.engine.leases.delete(run)
  }
}

/** What `run.finish` has made durable. */
function concluded<Tx, Isolation extends string>({
  hold: { id },
  response,
}: ActiveRun<Tx, Isolation>): Answer | undefined {
  return response && { kind: 'finished', id, response, stored: true }
}

async function conclude<Tx, Isolation extends string>(
  run: ActiveRun<Tx, Isolation>,
  result: HandlerResult | CapturedDraft,
): Promise<Answer> {
  const { id } = run.hold
  const draft = (result ?? {}) as CapturedDraft
  const response = responseOf(draft, draft.keepBody === undefined)
  const unfinished = run.ahead !== undefined && response.status >= 400
  if (unfinished || (response.status >= 500 && run.start.policy.onError === 'resume')) {
    await release(run, undefined)
    return { kind: 'finished', id, response, stored: false }
  }
  await finishAlone(run, response, draft.keepBody !== false)
  return { kind: 'finished', id, response, stored: true }
}

/** The handler threw, or was stopped. Committed stages stay; the next attempt goes on behind them. */
async function fail<Tx, Isolation extends string>(
  run: ActiveRun<Tx, Isolation>,
  error: unknown,
): Promise<Answer> {
  const { id } = run.hold
  if (run.isInside) await run.leave().catch(() => undefined)
  // Durable already: what failed came after the commit, and a retry replays it. So does this answer.
  const durable = concluded(run)
  if (durable !== undefined) return durable
  const reason = run.stopped ?? error
  if (run.start.policy.onError === 'store' && !PawlError.is(reason) && run.ahead === undefined) {
    const response = responseOf(FAILED)
    await finishAlone(run, response, true)
    return { kind: 'finished', id, response, stored: true }
  }
  if (mayRelease(reason)) await release(run, error)
  throw reason
}

/** A release is a courtesy; nobody waits long for it. */
const RELEASE_MAX_MS = 1_000

/** What a client gets when `onError` is `store` and nobody else made a response of the error. */
const FAILED: Draft = {
  status: 500,
  headers: { 'content-type': 'application/problem+json' },
  body: {
    title: 'Internal Server Error',
    status: 500,
    code: 'internal_error',
    retryable: false,
    safe_new_key: false,
  },
}

/** A lost lease and an unknown outcome are not ours to release; everything else is given back at once. */
function mayRelease(reason: unknown): boolean {
  return !(
    PawlError.is(reason) &&
    (reason.code === 'lease_lost' || reason.code === 'outcome_unknown')
  )
}

/** Gives the lease back, so that a retry need not wait for it to lapse. Best effort: it lapses anyway. */
export async function release<Tx, Isolation extends string>(
  run: ActiveRun<Tx, Isolation>,
  error: unknown,
): Promise<void> {
  const { engine, hold } = run
  if (engine.failpoint) await engine.failpoint('release.before', hold)
  try {
    const released = engine.store.write(hold, { kind: 'release' })
    if (!(await within(engine, 'releasing', RELEASE_MAX_MS, released))) return
    run.tell({ type: 'released', recoveryPoint: run.recoveryPoint, error })
  } catch (unanswered) {
    run.tell({ type: 'release_failed', error: unanswered })
  }
  if (engine.failpoint) await engine.failpoint('release.after', hold)
}

/** Gives up the runs that did not end in time. Their later writes are fenced off. */
export async function giveUp<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
): Promise<void> {
  const open = engine.leases.held as readonly ActiveRun<Tx, Isolation>[]
  await Promise.all(
    open.map(async (run) => {
      run.stop(new ClosedError(run.hold.id))
      await release(run, run.stopped)
    }),
  )
}

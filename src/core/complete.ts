/**
 * Going on with an abandoned request, without its client: the ordinary claim is the only door, so a late retry and any
 * number of completers may meet there, and one of them works.
 * Protocol: docs/internals/protocol.md#completion. Conformance 47.
 */
import { ask, within } from './ask.ts'
import type { Engine } from './engine.ts'
import { PawlError } from './errors.ts'
import { type Answer, execute } from './execute.ts'
import type { Fingerprint } from './fingerprint.ts'
import type { Registered } from './operation.ts'
import type { Task, WholeRecord } from './record.ts'
import type { Backlog, DueRecord } from './store.ts'

/** When an entry is looked at again. */
export interface Backoff {
  readonly firstMs: number
  readonly maxMs: number
}

/** What came of one turn of a record. */
export type Completion =
  /** It has its outcome now. */
  | 'finished'
  /** Somebody works on it, or it was not there any more. */
  | 'passed_by'
  /** A call's outcome is not known. */
  | 'unknown'
  /** This attempt failed; another is made later. */
  | 'put_off'
  /** No more attempts are made: an operator decides. */
  | 'failed'

/** What a turn works with. */
export interface Turn<Tx, Isolation extends string> {
  readonly engine: Engine<Tx, Isolation>
  readonly backlog: Backlog
  readonly registered: Registered<Tx, Isolation>
  readonly backoff: Backoff
  /** For so long others leave the entry alone when an attempt begins. */
  readonly againMs: number
}

/** How long `authorize` may take; then the record is put off. */
const AUTHORIZE_MAX_MS = 10_000
/** A failed record is looked at so rarely: an operator's word makes it due at once. */
const FAILED_AGAIN_MS = 3_600_000

/**
 * A completer's turn with a record. What an application's handler threw is announced and counted, never thrown.
 *
 * @throws {@link StoreUnavailableError} no answer; its turn comes again by itself, and no attempt was counted
 */
export async function complete<Tx, Isolation extends string>(
  turn: Turn<Tx, Isolation>,
  { record, tries }: DueRecord,
): Promise<Completion> {
  const { engine, registered, backoff } = turn
  const { id, task, state } = record
  if (task === undefined) return 'passed_by'
  const later = (ms: number, counted = tries): Promise<void> => putOff(turn, id, ms, counted)
  if (state === 'failed') {
    await later(FAILED_AGAIN_MS)
    return 'passed_by'
  }
  if (state === 'running' && record.leaseLeftMs > 0) {
    await later(record.leaseLeftMs + jittered(engine, backoff.firstMs))
    return 'passed_by'
  }
  if (state === 'running' && tries >= registered.maxAttempts)
    return await giveUp(turn, record, 'attempts')
  const input = JSON.parse(task.input) as unknown
  const allowed = await isAllowed(turn, record, task, input)
  if (allowed === false && state === 'running') return await giveUp(turn, record, 'not_authorized')
  if (allowed !== true) {
    await later(jittered(engine, backoff.maxMs))
    return state === 'unknown' ? 'unknown' : 'put_off'
  }
  const made = await attempt(turn, record, { input, tries })
  switch (made.kind) {
    case 'finished':
    case 'passed_by':
      return made.kind
    case 'in_progress':
      await later(made.retryAfterMs + jittered(engine, backoff.firstMs))
      return 'passed_by'
    case 'unknown':
      // Asking what became of it is no attempt at it; one that ended so was counted when it began.
      await later(jittered(engine, backoff.maxMs), made.counted)
      return 'unknown'
    case 'foreign':
      // Whoever knows its version may take its turn; if nobody ever does, it stops.
      await later(jittered(engine, backoff.maxMs), tries + 1)
      return 'put_off'
    case 'failed':
      if (tries + 1 >= registered.maxAttempts) return await giveUp(turn, record, 'attempts')
      await later(jittered(engine, pauseMs(backoff, tries)), tries + 1)
      return 'put_off'
  }
}

function putOff<Tx, Isolation extends string>(
  { engine, backlog }: Turn<Tx, Isolation>,
  id: string,
  ms: number,
  tries: number,
): Promise<void> {
  return ask(engine, 'putting a record off', () => backlog.putOff(id, Math.ceil(ms), tries))
}

/** Undefined: `authorize` did not say. */
async function isAllowed<Tx, Isolation extends string>(
  { engine, registered }: Turn<Tx, Isolation>,
  { id, scope, operation, attempt }: WholeRecord,
  { principal }: Task,
  input: unknown,
): Promise<boolean | undefined> {
  const { authorize } = registered
  if (authorize === undefined) return true
  try {
    const answer = Promise.resolve({ id, scope, principal, input }).then(authorize)
    return (await within(engine, 'authorizing', AUTHORIZE_MAX_MS, answer)) === true
  } catch (error) {
    engine.announce({ type: 'completer_failed', id, operation, attempt, error })
    return undefined
  }
}

/** Whoever could name the record's id has the right input: it is the one that was stored with it. */
const ITS_OWN: Fingerprint = { value: '', matches: () => true }

type Made =
  | { readonly kind: 'finished' | 'passed_by' | 'foreign' | 'failed' }
  | { readonly kind: 'in_progress'; readonly retryAfterMs: number }
  | { readonly kind: 'unknown'; readonly counted: number }

async function attempt<Tx, Isolation extends string>(
  turn: Turn<Tx, Isolation>,
  record: WholeRecord,
  { input, tries }: { readonly input: unknown; readonly tries: number },
): Promise<Made> {
  const { engine, registered, againMs } = turn
  const { id, operation, scope, key, execution } = record
  const policy = { ...registered.policy, waitMs: 0 }
  const work = { registered, input, task: undefined, execution }
  const request = { id, operation, scope, key, fingerprint: ITS_OWN, policy, work }
  let counted = tries
  let { attempt } = record
  const running = execute(engine, request, async (run) => {
    attempt = run.attempt
    // Counted before the first line: what kills its process is counted too.
    await putOff(turn, id, againMs, tries + 1)
    counted = tries + 1
    return await registered.handlerOf(run.version)(input, run)
  })
  try {
    return madeOf(await bounded(engine, engine.inflight.add(running)), counted)
  } catch (error) {
    const code = PawlError.is(error) ? error.code : undefined
    if (code === 'outcome_unknown') return { kind: 'unknown', counted }
    // Another goes on, or this process ends: the entry was put off when the attempt began.
    if (code === 'lease_lost' || code === 'closed') return { kind: 'passed_by' }
    if (code === 'store_unavailable') throw error
    if (code === 'version_unknown') return { kind: 'foreign' }
    engine.announce({ type: 'completer_failed', id, operation, attempt, error })
    return { kind: 'failed' }
  }
}

function madeOf(answer: Answer, counted: number): Made {
  switch (answer.kind) {
    case 'finished':
      return { kind: answer.stored ? 'finished' : 'failed' }
    case 'replay':
    case 'gone':
    case 'failed':
    case 'mismatch':
      return { kind: 'passed_by' }
    case 'in_progress':
      return answer
    case 'unknown':
      return { kind: 'unknown', counted }
  }
}

/**
 * A handler that hangs is not waited for longer than its lease is renewed: another may take over then, and this
 * completer has others to finish.
 */
async function bounded<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  running: Promise<Answer>,
): Promise<Answer> {
  const maxMs = engine.attemptMaxMs + engine.leaseMs
  let cancel = (): void => undefined
  const late = new Promise<never>((_, reject) => {
    cancel = engine.runtime.timer(
      maxMs,
      () => reject(new Error(`the handler did not end within attemptMax, ${maxMs} ms`)),
      true,
    )
  })
  try {
    return await Promise.race([running, late])
  } finally {
    cancel()
  }
}

/** Nobody is to go on. Whoever works on the record now may still finish it, so it is stopped as it is seen. */
async function giveUp<Tx, Isolation extends string>(
  { engine }: Turn<Tx, Isolation>,
  { id, execution }: WholeRecord,
  why: 'attempts' | 'not_authorized',
): Promise<Completion> {
  const record = await ask(engine, 'looking at a record', () => engine.store.find(id))
  if (record?.state !== 'running' || record.execution !== execution || record.leaseLeftMs > 0)
    return 'passed_by'
  const isStopped = await ask(engine, 'stopping a record', () =>
    engine.store.stop(record, 'failed'),
  )
  if (!isStopped && !(await isFailedSince(engine, record))) return 'passed_by'
  const { operation, attempt } = record
  engine.announce({ type: 'failed', id, operation, attempt, why })
  return 'failed'
}

/** The acknowledgement may have been lost of what was made. */
async function isFailedSince<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  { id, attempt, revision }: WholeRecord,
): Promise<boolean> {
  const record = await ask(engine, 'looking at a record', () => engine.store.find(id))
  const isNext = record?.attempt === attempt && record.revision === revision + 1
  return isNext && record.state === 'failed'
}

function pauseMs({ firstMs, maxMs }: Backoff, tries: number): number {
  return Math.min(maxMs, firstMs * 2 ** tries)
}

/** Between half and the whole: those that were put off together do not come back together. */
function jittered<Tx, Isolation extends string>(engine: Engine<Tx, Isolation>, ms: number): number {
  return ms * (0.5 + engine.runtime.random() / 2)
}

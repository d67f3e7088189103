/**
 * Step 3, Call: an effect outside the database, while no transaction is open. Repeatable: made again after a crash,
 * with the same downstream key. Not repeatable: the intent is committed before it is sent, and if the answer is never
 * learned the record stops as `unknown`.
 * Protocol: docs/internals/protocol.md#call. Conformance 37, 38.
 */
import type { ActiveRun } from './active-run.ts'
import { milliseconds } from './duration.ts'
import { CallTimeoutError, OutcomeUnknownError } from './errors.ts'
import { downstreamKeyOf } from './identity.ts'
import { invariant } from './invariant.ts'
import { type JsonResult, jsonResult } from './json.ts'
import type { Step } from './record.ts'
import { write } from './resolve.ts'
import type { Runtime } from './runtime.ts'
import type { CallContext, CallFailure, CallOptions } from './run.ts'

const TIMEOUT_MAX_MS = 3_600_000
/** Errors of a connection that was never made: nothing has left. */
const NOT_SENT: ReadonlySet<unknown> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN'])

/** What a call does, whoever wraps it. */
export type CallWork = (context: CallContext) => unknown

/** Makes a call, or returns the result that an earlier attempt recorded. */
export async function call<Tx, Isolation extends string>(
  run: ActiveRun<Tx, Isolation>,
  name: string,
  work: CallWork,
  options: CallOptions,
): Promise<unknown> {
  const entry = run.enter(name, 'call')
  if (entry.kind === 'recorded') return 'result' in entry.step ? entry.step.result : undefined
  const { engine } = run
  run.begin(name)
  try {
    const result =
      options.repeatable === false
        ? await sendOnce(run, name, work, options)
        : await sendAgain(run, name, work, options)
    const done: Step =
      result.text === undefined
        ? { kind: 'call', status: 'done' }
        : { kind: 'call', status: 'done', result: result.value }
    const stages = run.with(name, done)
    const { leaseMs } = engine
    await write(run, name, { kind: 'advance', from: run.recoveryPoint, to: name, stages, leaseMs })
    run.advance(name, done)
    run.tell({ type: 'call_recorded', step: name })
    if (engine.failpoint) await engine.failpoint('call.record.after', { ...run.hold, step: name })
    return result.value
  } finally {
    run.end()
  }
}

async function send<Tx, Isolation extends string>(
  run: ActiveRun<Tx, Isolation>,
  name: string,
  work: CallWork,
  options: CallOptions,
): Promise<JsonResult> {
  run.tell({ type: 'call_sent', step: name, repeatable: options.repeatable !== false })
  const { id } = run.hold
  const idempotencyKey = downstreamKeyOf(id, run.start.execution, name)
  const value = await timed(
    run.engine.runtime,
    { id, step: name },
    idempotencyKey,
    run.signal,
    work,
    options,
  )
  if (run.engine.failpoint)
    await run.engine.failpoint('call.work.after', { ...run.hold, step: name })
  return jsonResult(name, value)
}

/** A call that may be made again, in this attempt too when it failed. */
async function sendAgain<Tx, Isolation extends string>(
  run: ActiveRun<Tx, Isolation>,
  name: string,
  work: CallWork,
  options: CallOptions,
): Promise<JsonResult> {
  try {
    return await send(run, name, work, options)
  } catch (error) {
    run.reopen(name)
    throw error
  }
}

/** Commits the intent, sends, and takes the intent back only when it is known that nothing happened. */
async function sendOnce<Tx, Isolation extends string>(
  run: ActiveRun<Tx, Isolation>,
  name: string,
  work: CallWork,
  options: CallOptions,
): Promise<JsonResult> {
  const before = run.stages
  const from = run.recoveryPoint
  const { leaseMs } = run.engine
  invariant(!before.has(name), 'a call that was sent is never sent again', {
    id: run.hold.id,
    step: name,
  })
  const sent = run.with(name, { kind: 'call', status: 'sent' })
  await write(run, name, { kind: 'journal', from, stages: sent, leaseMs })
  if (run.engine.failpoint)
    await run.engine.failpoint('call.intent.after', { ...run.hold, step: name })
  try {
    return await send(run, name, work, options)
  } catch (error) {
    if (failureOf(error, options) === 'unknown') {
      await write(run, name, { kind: 'unknown', from, stages: sent })
      run.tell({ type: 'outcome_unknown', step: name })
      throw run.stop(new OutcomeUnknownError({ id: run.hold.id, step: name }, error))
    }
    await write(run, name, { kind: 'journal', from, stages: before, leaseMs })
    run.reopen(name)
    throw error
  }
}

/** A call's work under its time limit; also for requests without a key. */
export async function timed(
  runtime: Runtime,
  at: { readonly id: string; readonly step: string },
  idempotencyKey: string,
  signal: AbortSignal,
  work: CallWork,
  options: CallOptions,
): Promise<unknown> {
  if (options.timeout === undefined) return await work({ idempotencyKey, signal })
  const timeoutMs = milliseconds(`timeout of call "${at.step}"`, options.timeout, {
    min: 1,
    max: TIMEOUT_MAX_MS,
  })
  const late = new AbortController()
  return await new Promise((resolve, reject) => {
    const cancel = runtime.timer(timeoutMs, () => {
      const error = new CallTimeoutError({ ...at, timeoutMs })
      late.abort(error)
      reject(error)
    })
    const context = { idempotencyKey, signal: AbortSignal.any([signal, late.signal]) }
    Promise.resolve(context).then(work).then(resolve, reject).finally(cancel)
  })
}

function failureOf(error: unknown, options: CallOptions): CallFailure {
  if (options.classify !== undefined) return options.classify(error)
  for (
    let cause = error, depth = 0;
    cause instanceof Error && depth < 5;
    cause = cause.cause, depth++
  ) {
    if ('code' in cause && NOT_SENT.has(cause.code)) return 'not_sent'
  }
  return 'unknown'
}

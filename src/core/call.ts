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
import { sentCall, type Stages, type Step } from './record.ts'
import { write } from './resolve.ts'
import type { Runtime } from './runtime.ts'
import { resultOf } from './stage.ts'
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
  if (entry.kind === 'recorded') {
    // A claim never hands such a record over; a guess here would be an answer nobody gave.
    if (sentCall(run.stages) !== undefined)
      throw run.stop(new OutcomeUnknownError({ id: run.hold.id, step: name }, undefined))
    return resultOf(entry.step)
  }
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
    const { recoveryPoint: from, revision } = run
    const stages = run.with(name, done)
    const { leaseMs } = engine
    await write(run, name, { kind: 'advance', from, revision, to: name, stages, leaseMs })
    run.tell({ type: 'call_recorded', step: name })
    if (engine.failpoint) await engine.failpoint('call.record.after', { ...run.hold, step: name })
    return resultOf(done)
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
  invariant(!before.has(name), 'a call that was sent is never sent again', {
    id: run.hold.id,
    step: name,
  })
  await journal(run, name, run.with(name, { kind: 'call', status: 'sent' }))
  if (run.engine.failpoint)
    await run.engine.failpoint('call.intent.after', { ...run.hold, step: name })
  if (run.stopped !== undefined) {
    await journal(run, name, before)
    throw run.stopped
  }
  try {
    return await send(run, name, work, options)
  } catch (error) {
    if (failureOf(error, options) === 'unknown') {
      const { recoveryPoint: from, revision, stages } = run
      await write(run, name, { kind: 'unknown', from, revision, stages })
      run.tell({ type: 'outcome_unknown', step: name })
      throw run.stop(new OutcomeUnknownError({ id: run.hold.id, step: name }, error))
    }
    await journal(run, name, before)
    run.reopen(name)
    throw error
  }
}

/** Writes down what is about to be sent, or that it was not. */
async function journal<Tx, Isolation extends string>(
  run: ActiveRun<Tx, Isolation>,
  name: string,
  stages: Stages,
): Promise<void> {
  const { recoveryPoint: from, revision, engine } = run
  const { leaseMs } = engine
  await write(run, name, { kind: 'journal', from, revision, stages, leaseMs })
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

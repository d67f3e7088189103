/**
 * Step 2, Stage: the application's rows, the stage's result and the next recovery point in one commit.
 * Safe because the record's update is the transaction's last statement and matches the point, owner and attempt we saw.
 * Protocol: docs/internals/protocol.md#stage. Conformance 36, 41–43.
 */
import type { ActiveRun } from './active-run.ts'
import { backoff, mayAskAgain, TRIES_MAX } from './ask.ts'
import { LeaseLostError, StageAbortedError, StoreUnavailableError } from './errors.ts'
import { invariant } from './invariant.ts'
import { copyOf, jsonResult } from './json.ts'
import { FINISHED, type Step } from './record.ts'
import { landed, lost } from './resolve.ts'
import type { StageOptions } from './run.ts'
import { AbortedError, type CommitOptions, CommitUnknownError, type Write } from './store.ts'

/** Runs a stage, or returns the result that an earlier attempt committed. */
export async function stage<Tx, Isolation extends string>(
  run: ActiveRun<Tx, Isolation>,
  name: string,
  work: (tx: Tx) => unknown,
  options: StageOptions<Isolation>,
): Promise<unknown> {
  const entry = run.enter(name, 'stage')
  if (entry.kind === 'recorded') return resultOf(entry.step)
  const { engine } = run
  run.begin(name)
  try {
    const step = await commitStep(run, name, options, async (tx) => {
      const result = jsonResult(name, await work(tx))
      if (engine.failpoint) await engine.failpoint('stage.work.after', { ...run.hold, step: name })
      const done: Step =
        result.text === undefined ? { kind: 'stage' } : { kind: 'stage', result: result.value }
      const { recoveryPoint: from, revision } = run
      const stages = run.with(name, done)
      return {
        value: done,
        write: { kind: 'advance', from, revision, to: name, stages, leaseMs: engine.leaseMs },
      }
    })
    if (engine.failpoint) await engine.failpoint('stage.commit.after', { ...run.hold, step: name })
    return resultOf(step)
  } catch (error) {
    if (!run.stages.has(name)) run.reopen(name)
    throw error
  } finally {
    run.end()
  }
}

/** What a recorded step returned. */
export function resultOf(step: Step): unknown {
  return 'result' in step ? copyOf(step.result) : undefined
}

/** A commit that was planned: what the step is worth, and what it writes. */
interface Planned<R> {
  readonly value: R
  readonly write: Write
}

/**
 * Commits a step's transaction: again after a definite abort, and after an unknown commit that turned out not to have
 * landed; never after one that did.
 *
 * @throws {@link StageAbortedError} aborted five times, nothing committed
 * @throws {@link LeaseLostError} fenced, rows rolled back
 */
export async function commitStep<Tx, Isolation extends string, R>(
  run: ActiveRun<Tx, Isolation>,
  step: string,
  options: StageOptions<Isolation>,
  work: (tx: Tx) => Promise<Planned<R>>,
): Promise<R> {
  const unacknowledged: Planned<R>[] = []
  const { now } = run.engine.runtime
  const openUntil = now() + run.engine.storeTimeoutMs
  for (let tries = 1; ; tries++) {
    if (run.stopped !== undefined) throw run.stopped
    let planned: Planned<R> | undefined
    let isOpen = false
    try {
      const value = await run.engine.store.commit(
        run.hold,
        commitOptions(run, step, options),
        async (tx) => {
          isOpen = true
          planned = undefined
          planned = await work(tx)
          return planned
        },
      )
      invariant(planned !== undefined, 'COMMIT is sent only after the work is done', {
        id: run.hold.id,
      })
      run.wrote(planned.write)
      if (step !== FINISHED) run.tell({ type: 'stage_committed', step, tries })
      return value
    } catch (error) {
      if (error instanceof CommitUnknownError) {
        invariant(planned !== undefined, 'COMMIT is sent only after the work is done', {
          id: run.hold.id,
        })
        unacknowledged.push(planned)
      } else if (error instanceof LeaseLostError) {
        // What fenced us off may be our own commit, landed after we had looked for it.
        if (unacknowledged.length === 0) throw run.stop(lost(run, step))
      } else if (!mayAskAgain(error)) throw error
      if (unacknowledged.length > 0) {
        const there = await landed(run, step, unacknowledged)
        if (there !== undefined) {
          run.wrote(there.write)
          return there.value
        }
      }
      // A pool may take its own time to say that there is no connection: not five times over.
      const isAway = !isOpen && now() >= openUntil
      if (tries >= TRIES_MAX || isAway) throw givenUp(run, step, tries, error)
      run.tell({ type: 'aborted', step, tries })
      await backoff(run.engine.runtime, tries)
    }
  }
}

function commitOptions<Tx, Isolation extends string>(
  run: ActiveRun<Tx, Isolation>,
  step: string,
  { isolation }: StageOptions<Isolation>,
): CommitOptions<Isolation> {
  const { engine, hold } = run
  const { failpoint, leaseMs } = engine
  if (failpoint === undefined) return { isolation, leaseMs }
  const fence = step === FINISHED ? 'finish.fence.after' : 'stage.fence.after'
  return { isolation, leaseMs, fenced: () => failpoint(fence, { ...hold, step }) }
}

function givenUp<Tx, Isolation extends string>(
  run: ActiveRun<Tx, Isolation>,
  step: string,
  tries: number,
  error: unknown,
): unknown {
  if (error instanceof StoreUnavailableError || error instanceof LeaseLostError) return error
  const cause = error instanceof Error ? error.cause : error
  const isKnown = error instanceof AbortedError || error instanceof CommitUnknownError
  const remedy = isKnown ? error.remedy : undefined
  return new StageAbortedError({ id: run.hold.id, step, tries }, cause, remedy)
}

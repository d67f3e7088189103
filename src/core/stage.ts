/**
 * Step 2, Stage: the application's rows, the stage's result and the next recovery point in one commit.
 * Safe because the record's update is the transaction's last statement and matches the point, owner and attempt we saw.
 * Protocol: docs/internals/protocol.md#stage. Conformance 36, 41–43.
 */
import type { ActiveRun } from './active-run.ts'
import { backoff, TRIES_MAX } from './ask.ts'
import { failpoint } from './engine.ts'
import { LeaseLostError, StageAbortedError, StoreUnavailableError } from './errors.ts'
import { invariant } from './invariant.ts'
import { jsonResult } from './json.ts'
import type { Step } from './record.ts'
import { landed, lost } from './resolve.ts'
import type { StageOptions } from './run.ts'
import { AbortedError, CommitUnknownError, type Write } from './store.ts'

/** Runs a stage, or returns the result that an earlier attempt committed. */
export async function stage<Tx, Isolation extends string>(
  run: ActiveRun<Tx, Isolation>,
  name: string,
  work: (tx: Tx) => unknown,
  options: StageOptions<Isolation>,
): Promise<unknown> {
  const entry = run.enter(name, 'stage')
  if (entry.kind === 'recorded') return 'result' in entry.step ? entry.step.result : undefined
  return await run.inside(name, async () => {
    const step = await commitStep(run, name, options, async (tx) => {
      const result = jsonResult(name, await work(tx))
      await failpoint(run.engine, 'stage.work.after', { ...run.hold, step: name })
      const done: Step =
        result.text === undefined ? { kind: 'stage' } : { kind: 'stage', result: result.value }
      const { recoveryPoint: from, engine } = run
      return {
        value: done,
        write: {
          kind: 'advance',
          from,
          to: name,
          stages: run.with(name, done),
          leaseMs: engine.leaseMs,
        },
      }
    })
    run.advance(name, step)
    await failpoint(run.engine, 'stage.commit.after', { ...run.hold, step: name })
    return 'result' in step ? step.result : undefined
  })
}

/**
 * Commits a step's transaction: again after a definite abort, and once more after an unknown commit that turned out
 * not to have landed; never after one that did.
 *
 * @throws {@link StageAbortedError} aborted five times, nothing committed
 * @throws {@link LeaseLostError} fenced, rows rolled back
 */
export async function commitStep<Tx, Isolation extends string, R>(
  run: ActiveRun<Tx, Isolation>,
  step: string,
  options: StageOptions<Isolation>,
  work: (tx: Tx) => Promise<{ readonly value: R; readonly write: Write }>,
): Promise<R> {
  const { engine, hold } = run
  const fence = step === 'finished' ? 'finish.fence.after' : 'stage.fence.after'
  for (let tries = 1; ; tries++) {
    let planned: { readonly value: R; readonly write: Write } | undefined
    if (run.stopped !== undefined) throw run.stopped
    try {
      const value = await engine.store.commit(
        hold,
        {
          isolation: options.isolation,
          ...(engine.runtime.failpoint && {
            fenced: () => failpoint(engine, fence, { ...hold, step }),
          }),
        },
        async (tx) => {
          planned = undefined
          planned = await work(tx)
          return planned
        },
      )
      if (step !== 'finished') run.tell({ type: 'stage_committed', step, tries })
      return value
    } catch (error) {
      if (error instanceof LeaseLostError) throw run.stop(lost(run, step))
      if (error instanceof CommitUnknownError) {
        invariant(planned !== undefined, 'COMMIT is sent only after the work is done', {
          id: hold.id,
        })
        if (await landed(run, step, planned.write)) return planned.value
      } else if (!isDefinite(error)) throw error
      if (tries >= TRIES_MAX) {
        if (error instanceof StoreUnavailableError) throw error
        throw new StageAbortedError({ id: hold.id, step, tries }, error.cause)
      }
      run.tell({ type: 'aborted', step, tries })
      await backoff(engine.runtime, tries)
    }
  }
}

function isDefinite(error: unknown): error is AbortedError | StoreUnavailableError {
  return error instanceof AbortedError || error instanceof StoreUnavailableError
}

/**
 * Step 4, Finish: the outcome becomes durable, with the last of the application's rows or on its own. Only then does
 * the response leave.
 * Protocol: docs/internals/protocol.md#finish. Conformance 11–14, 18, 39, 40, 44.
 */
import type { ActiveRun } from './active-run.ts'
import { RecoveryPointUnknownError } from './errors.ts'
import { invariant } from './invariant.ts'
import { type Draft, type Outcome, outcomeOf, responseOf, type WholeResponse } from './outcome.ts'
import { FINISHED } from './record.ts'
import { write } from './resolve.ts'
import type { Finished, StageOptions } from './run.ts'
import { commitStep } from './stage.ts'

const proof = Object.freeze({}) as Finished

/** The last stage: rows and response in one commit. */
export async function finish<Tx, Isolation extends string>(
  run: ActiveRun<Tx, Isolation>,
  work: (tx: Tx) => Promise<Draft> | Draft,
  options: StageOptions<Isolation>,
): Promise<Finished> {
  const entry = run.enter(FINISHED, 'finish')
  invariant(entry.kind === 'begin', 'a finished record is replayed, never resumed', {
    id: run.hold.id,
  })
  const { engine, hold } = run
  run.begin(FINISHED)
  try {
    const response = await commitStep(run, FINISHED, options, async (tx) => {
      const value = responseOf(await work(tx))
      if (engine.failpoint) await engine.failpoint('finish.work.after', hold)
      return { value, write: finishing(run, outcome(run, value)) }
    })
    finished(run, response, true)
    if (engine.failpoint) await engine.failpoint('finish.commit.after', hold)
  } finally {
    run.end()
  }
  run.start.finished?.()
  return proof
}

/** Stores the response of a handler that had no finish of its own, in one autocommit statement. */
export async function finishAlone<Tx, Isolation extends string>(
  run: ActiveRun<Tx, Isolation>,
  response: WholeResponse,
  keepBody: boolean,
): Promise<void> {
  const { ahead } = run
  if (ahead !== undefined) {
    throw run.stop(
      new RecoveryPointUnknownError({ id: run.hold.id, recorded: ahead, asked: 'returned' }),
    )
  }
  const kept = outcome(run, response)
  await write(run, FINISHED, finishing(run, keepBody ? kept : { ...kept, body: undefined }))
  finished(run, response, keepBody)
  if (run.engine.failpoint) await run.engine.failpoint('finish.commit.after', run.hold)
}

function finished<Tx, Isolation extends string>(
  run: ActiveRun<Tx, Isolation>,
  response: WholeResponse,
  keepBody: boolean,
): void {
  invariant(run.response === undefined, 'a run is finished once', { id: run.hold.id })
  run.response = response
  run.recoveryPoint = FINISHED
  const bodyStored = keepBody && response.body.length <= run.start.policy.responseMax
  run.tell({ type: 'finished', status: response.status, bodyStored })
}

function outcome<Tx, Isolation extends string>(
  run: ActiveRun<Tx, Isolation>,
  response: WholeResponse,
): Outcome {
  const { storeHeaders, responseMax } = run.start.policy
  return outcomeOf(response, storeHeaders, responseMax)
}

function finishing<Tx, Isolation extends string>(run: ActiveRun<Tx, Isolation>, outcome: Outcome) {
  const { retentionMs } = run.start.policy
  const { recoveryPoint: from, revision } = run
  return { kind: 'finish', from, revision, outcome, retentionMs } as const
}

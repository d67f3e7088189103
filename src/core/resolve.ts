/**
 * Step 5, Resolve: the connection broke while a change was on its way. Read the record behind any commit that is still
 * in flight and go on from what is there. Never a blind retry, never "failed, use a new key".
 * Protocol: docs/internals/protocol.md#unknown-commit. Conformance 43.
 */
import type { ActiveRun } from './active-run.ts'
import { ask, backoff, mayAskAgain, patience, TRIES_MAX, unavailable, within } from './ask.ts'
import { LeaseLostError, PawlError } from './errors.ts'
import type { Outcome } from './outcome.ts'
import { type FoundRecord, type Stages, stagesText } from './record.ts'
import type { Write } from './store.ts'

/**
 * Which of the writes that were sent without being acknowledged is in the record; undefined: none of them.
 * Several, because a commit that had not landed when it was looked for may still land while its stage is tried again.
 *
 * @throws {@link LeaseLostError} another attempt holds the record now; whether a write landed is its business
 * @throws {@link StoreUnavailableError} still no answer: the lease stays, and the same request may be sent again
 */
export async function landed<Tx, Isolation extends string, W extends { readonly write: Write }>(
  run: ActiveRun<Tx, Isolation>,
  step: string,
  sent: readonly W[],
): Promise<W | undefined> {
  run.tell({ type: 'commit_unknown', step })
  const record = await ask(run.engine, `finding out whether "${step}" was committed`, () =>
    run.engine.store.reread(run.hold.id),
  ).catch((error: unknown) => {
    // Nothing may be written over what is not known.
    throw PawlError.is(error) ? run.stop(error) : error
  })
  if (record === undefined || record.attempt !== run.hold.attempt) throw run.stop(lost(run, step))
  const there = sent.find(({ write }) => isIn(record, write))
  if (there === undefined && record.owner !== run.hold.owner) throw run.stop(lost(run, step))
  run.tell({ type: 'commit_resolved', step, landed: there !== undefined })
  return there
}

/**
 * One change in autocommit, asked again until it is known to stand. A change whose acknowledgement was lost is looked
 * for in the record before it counts as fenced. When it stays unknown the attempt ends: whatever the handler did next
 * would be written over it.
 *
 * @throws {@link LeaseLostError} another attempt has taken over
 * @throws {@link StoreUnavailableError} no answer in time
 */
export async function write<Tx, Isolation extends string>(
  run: ActiveRun<Tx, Isolation>,
  step: string,
  change: Write,
): Promise<void> {
  const { engine, hold } = run
  const doing = `recording "${step}"`
  const deadline = engine.runtime.now() + engine.storeTimeoutMs
  let uncertain = false
  const stands = (): void => run.wrote(change)
  for (let tries = 1; ; tries++) {
    try {
      const answer = engine.store.write(hold, change)
      if (await within(engine, doing, patience(engine, deadline), answer)) return stands()
      if (uncertain && (await landed(run, step, [{ write: change }])) !== undefined) return stands()
      throw run.stop(lost(run, step))
    } catch (error) {
      if (run.stopped !== undefined) throw run.stopped
      if (!mayAskAgain(error)) throw PawlError.is(error) ? run.stop(error) : error
      if (tries >= TRIES_MAX || engine.runtime.now() >= deadline)
        throw run.stop(unavailable(doing, error))
      uncertain = true
      await backoff(engine.runtime, tries)
    }
  }
}

/** The error of an attempt that was fenced off at `step`. */
export function lost<Tx, Isolation extends string>(
  run: ActiveRun<Tx, Isolation>,
  step: string,
): LeaseLostError {
  run.tell({ type: 'lease_lost', step })
  return new LeaseLostError({ ...run.hold, step })
}

function isIn(record: FoundRecord, write: Write): boolean {
  if ('revision' in write && record.revision !== write.revision + 1) return false
  switch (write.kind) {
    case 'advance':
      return record.recoveryPoint === write.to && sameStages(record, write.stages)
    case 'journal':
      return record.recoveryPoint === write.from && sameStages(record, write.stages)
    case 'finish':
      return record.outcome !== undefined && sameOutcome(record.outcome, write.outcome)
    case 'unknown':
      return record.state === 'unknown'
    case 'release':
      return record.owner === undefined
  }
}

function sameStages(record: FoundRecord, stages: Stages): boolean {
  return stagesText(record.stages) === stagesText(stages)
}

function sameOutcome(a: Outcome, b: Outcome): boolean {
  const bytes = (body: Uint8Array | undefined): string | undefined =>
    body && Buffer.from(body).toString('latin1')
  return (
    a.status === b.status &&
    JSON.stringify(a.headers) === JSON.stringify(b.headers) &&
    bytes(a.body) === bytes(b.body)
  )
}

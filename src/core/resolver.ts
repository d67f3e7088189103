/**
 * What became of a call whose answer was never learned: its resolver asks the called system, and what it says is
 * written over the stopped record by compare-and-set. Asking twice is harmless, so nothing is held while it asks.
 * Protocol: docs/internals/protocol.md#unknown-outcomes. Conformance 38.
 */
import { ask, within } from './ask.ts'
import type { Engine } from './engine.ts'
import { jsonResult } from './json.ts'
import type { Registered } from './operation.ts'
import type { Resolution } from './resolution.ts'
import { type FoundRecord, sentCall, type Stages, stagesText, type StoppedState } from './record.ts'
import { downstreamKeyOf } from './identity.ts'
import { StepMisusedError } from './errors.ts'

/** How long a resolver may take; then nothing is known, and it is asked again later. */
const RESOLVER_MAX_MS = 10_000

/** `moved`: somebody else has decided meanwhile. `unknown`: there is no resolver, or it does not know. */
export async function resolveUnknown<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  registered: Registered<Tx, Isolation>,
  record: FoundRecord,
  input: unknown,
): Promise<'decided' | 'moved' | 'unknown'> {
  const call = sentCall(record.stages)
  const resolver = call === undefined ? undefined : registered.resolverOf(call, record.version)
  if (call === undefined || resolver === undefined) return 'unknown'
  const { id, execution, attempt } = record
  const about = { id, operation: registered.name, attempt, step: call }
  let resolution: Resolution
  let stages: Stages
  try {
    const giveUp = new AbortController()
    const idempotencyKey = downstreamKeyOf(id, execution, call)
    const context = { idempotencyKey, id, input, signal: giveUp.signal }
    const answer = Promise.resolve(context).then(resolver)
    resolution = await within(engine, `resolving "${call}"`, RESOLVER_MAX_MS, answer).finally(() =>
      giveUp.abort(),
    )
    if (resolution.kind === 'unknown') return 'unknown'
    stages = decidedStages(record, resolution)
  } catch (error) {
    engine.announce({ type: 'resolver_failed', ...about, error })
    return 'unknown'
  }
  if (!(await decide(engine, record, resolution, stages))) return 'moved'
  engine.announce({ type: 'resolved', ...about, resolution: resolution.kind, by: 'resolver' })
  return 'decided'
}

/**
 * Writes over a record that stopped at a call what came of it; whoever claims it then goes on.
 *
 * @returns false: the record is not as it was seen any more
 */
export async function decideUnknown<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  record: FoundRecord,
  resolution: Exclude<Resolution, { readonly kind: 'unknown' }>,
): Promise<boolean> {
  return await decide(engine, record, resolution, decidedStages(record, resolution))
}

async function decide<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  record: FoundRecord,
  { kind }: Resolution,
  stages: Stages,
): Promise<boolean> {
  const call = sentCall(record.stages)
  const recoveryPoint = kind === 'done' && call !== undefined ? call : record.recoveryPoint
  return await restart(engine, record, 'unknown', { recoveryPoint, stages })
}

/** The steps of a record, with what came of the call at which it stopped. */
function decidedStages(record: FoundRecord, resolution: Resolution): Stages {
  const call = sentCall(record.stages)
  if (call === undefined || !isDecided(resolution)) {
    throw new StepMisusedError(
      `a resolution of ${record.id}: expected { kind: 'done', result } or { kind: 'never' } of a call that was sent.`,
      record.id,
    )
  }
  const stages = new Map(record.stages)
  if (resolution.kind === 'never') {
    stages.delete(call)
    return stages
  }
  const { text, value } = jsonResult(call, 'result' in resolution ? resolution.result : undefined)
  stages.set(call, {
    kind: 'call',
    status: 'done',
    ...(text === undefined ? {} : { result: value }),
  })
  return stages
}

/** Puts a stopped record back to work. Where an acknowledgement was lost, the record says whether it was. */
export async function restart<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  seen: FoundRecord,
  state: StoppedState,
  { recoveryPoint, stages }: Pick<FoundRecord, 'recoveryPoint' | 'stages'> = seen,
): Promise<boolean> {
  const { id, attempt, revision } = seen
  const asked = { id, attempt, revision, state, recoveryPoint, stages }
  let tries = 0
  const isMade = await ask(engine, 'putting a record back to work', () => {
    tries++
    return engine.store.restart(asked)
  })
  if (isMade || tries === 1) return isMade
  const record = await ask(engine, 'looking at a record', () => engine.store.find(id))
  const isNext = record?.attempt === attempt && record.revision === revision + 1
  return isNext && record.state === 'running' && stagesText(record.stages) === stagesText(stages)
}

function isDecided(resolution: Resolution): boolean {
  return resolution.kind === 'done' || resolution.kind === 'never'
}

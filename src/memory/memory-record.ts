/** A record in memory, and what each change of the contract makes of it. Pure: nobody's time, nobody's lock. */
import type { Outcome } from '../core/outcome.ts'
import {
  ERASED,
  FINISHED,
  type FoundRecord,
  stagesOf,
  stagesText,
  STARTED,
  type State,
  type StoppedState,
  type Task,
  type WholeRecord,
} from '../core/record.ts'
import type {
  ClaimInput,
  ForgetInput,
  Hold,
  ResetInput,
  RestartInput,
  Seen,
  TakeOverInput,
  Write,
} from '../core/store.ts'

/** Never changed: a change makes another one. Instants are milliseconds of the store's clock. */
export interface MemoryRecord {
  readonly id: string
  readonly scope: string
  readonly operation: string
  readonly key: string
  readonly fingerprint: string
  readonly method: string | undefined
  readonly path: string | undefined
  readonly state: State
  readonly owner: string | undefined
  readonly attempt: number
  readonly revision: number
  readonly recoveryPoint: string
  /** As a database has them: text, so that nobody can change what is stored. */
  readonly stages: string
  readonly execution: string
  readonly lockedUntil: number
  readonly expiresAt: number
  readonly outcome: Outcome | undefined
  readonly task: Task | undefined
}

const NO_STAGES = stagesText(new Map())

/** A first claim. */
export function first(input: ClaimInput, now: number, execution: string): MemoryRecord {
  const { id, scope, operation, key, fingerprint, method, path, owner } = input
  return {
    id,
    scope,
    operation,
    key,
    fingerprint,
    method,
    path,
    state: 'running',
    owner,
    attempt: 1,
    revision: 0,
    recoveryPoint: STARTED,
    stages: NO_STAGES,
    execution,
    lockedUntil: now + input.leaseMs,
    expiresAt: now + input.retentionMs,
    outcome: undefined,
    task: input.task && taskOf(input.task),
  }
}

function taskOf({ version, input, principal }: Task): Task {
  return { version, input, principal }
}

/** As the core sees it. */
export function found(record: MemoryRecord, now: number): FoundRecord {
  const { id, state, fingerprint, owner, attempt, revision, recoveryPoint, execution } = record
  return {
    id,
    state,
    fingerprint,
    owner,
    attempt,
    revision,
    recoveryPoint,
    stages: stagesOf(record.stages),
    execution,
    expired: record.expiresAt <= now,
    leaseLeftMs: owner === undefined ? 0 : Math.max(0, record.lockedUntil - now),
    outcome: record.outcome && copyOf(record.outcome),
    version: record.task?.version,
  }
}

/** And what it is about. */
export function wholeOf(record: MemoryRecord, now: number): WholeRecord {
  const { operation, scope, key, task } = record
  return { ...found(record, now), operation, scope, key, task }
}

/** Still as it was seen, unfinished, and nobody works on it. */
export function isLapsed(record: MemoryRecord, seen: Seen, now: number): boolean {
  const isSeen = record.attempt === seen.attempt && record.revision === seen.revision
  return isSeen && record.state === 'running' && found(record, now).leaseLeftMs === 0
}

export function takenOver(record: MemoryRecord, input: TakeOverInput, now: number): MemoryRecord {
  const { owner } = input
  return { ...record, owner, attempt: record.attempt + 1, lockedUntil: now + input.leaseMs }
}

export function stopped(record: MemoryRecord, state: StoppedState): MemoryRecord {
  return { ...record, state, owner: undefined, revision: record.revision + 1 }
}

/** Back to work, held by nobody; undefined where the record is not as it was seen. */
export function restarted(record: MemoryRecord, input: RestartInput): MemoryRecord | undefined {
  const { attempt, revision, state, recoveryPoint } = input
  const isSeen = record.attempt === attempt && record.revision === revision
  if (!isSeen || record.state !== state) return undefined
  const stages = stagesText(input.stages)
  const next = { recoveryPoint, stages, owner: undefined, revision: revision + 1 }
  return { ...record, ...next, state: 'running' }
}

/** A new execution in the place of an expired one. */
export function startedAnew(
  record: MemoryRecord,
  input: ResetInput,
  now: number,
  execution: string,
): MemoryRecord {
  const { attempt, revision } = record
  return { ...first(input, now, execution), attempt: attempt + 1, revision: revision + 1 }
}

/** Nobody works on it. */
export function isFree(record: MemoryRecord, now: number): boolean {
  return record.state !== 'running' || found(record, now).leaseLeftMs === 0
}

/** Still as it was seen, in whatever state, and nobody works on it. */
export function isForgettable(record: MemoryRecord, seen: ForgetInput, now: number): boolean {
  const { attempt, revision, state } = seen
  const isSeen = record.attempt === attempt && record.revision === revision
  return isSeen && record.state === state && isFree(record, now)
}

/** A tombstone: the id is left, and that it was done. */
export function erased(record: MemoryRecord, tombstoneMs: number, now: number): MemoryRecord {
  const { id, attempt, execution, lockedUntil } = record
  const about = { scope: '', operation: '', key: '', method: undefined, path: undefined }
  const status = record.outcome?.status ?? 200
  return {
    id,
    ...about,
    fingerprint: ERASED,
    state: 'finished',
    owner: undefined,
    attempt,
    revision: record.revision + 1,
    recoveryPoint: FINISHED,
    stages: NO_STAGES,
    execution,
    lockedUntil,
    expiresAt: now + tombstoneMs,
    outcome: { status, headers: [], body: undefined },
    task: undefined,
  }
}

export function isHeld(record: MemoryRecord | undefined, hold: Hold): record is MemoryRecord {
  return (
    record !== undefined &&
    record.state === 'running' &&
    record.owner === hold.owner &&
    record.attempt === hold.attempt
  )
}

/** What a change makes of a record that is held; undefined where the record is not as the change has seen it. */
export function written(record: MemoryRecord, write: Write, now: number): MemoryRecord | undefined {
  if (write.kind === 'release') return { ...record, owner: undefined }
  if (record.recoveryPoint !== write.from || record.revision !== write.revision) return undefined
  const next = { ...record, revision: record.revision + 1 }
  switch (write.kind) {
    case 'advance':
    case 'journal': {
      const recoveryPoint = write.kind === 'advance' ? write.to : record.recoveryPoint
      const stages = stagesText(write.stages)
      return { ...next, recoveryPoint, stages, lockedUntil: now + write.leaseMs }
    }
    case 'finish': {
      const outcome = copyOf(write.outcome)
      const expiresAt = now + write.retentionMs
      return { ...next, state: 'finished', recoveryPoint: FINISHED, outcome, expiresAt }
    }
    case 'unknown':
      return { ...stopped(record, 'unknown'), stages: stagesText(write.stages) }
  }
}

/** What a caller does to his bytes afterwards is not in the store, nor the other way round. */
function copyOf(outcome: Outcome): Outcome {
  return { ...outcome, body: outcome.body && Uint8Array.from(outcome.body) }
}

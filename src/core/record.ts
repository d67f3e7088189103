/**
 * The record: its states, its stages, and what a claim decides when it finds one. Pure: the whole protocol of step 1
 * in one function that can be read and tested without a database.
 * Protocol: docs/internals/protocol.md#claim. Conformance 12, 19, 20, 26, 29, 32, 33, 35, 38.
 */
import type { Fingerprint } from './fingerprint.ts'
import { invariant } from './invariant.ts'
import type { Outcome } from './outcome.ts'

/** `running` may be worked on; `finished` replays until it expires; a stopped one waits for a decision, for ever. */
export type State = 'running' | 'finished' | StoppedState

/** `unknown`: a call was sent and its answer not learned. `failed`: attempts were made, and none more are. */
export type StoppedState = 'unknown' | 'failed'

/** What a registered operation leaves in its record, so that any process can go on without the client. */
export interface Task {
  /** The operation's own, at the first claim. */
  readonly version: string
  /** What the handler works on: JSON, as it was written. */
  readonly input: string
  /** Who asked: an opaque reference of the application's, never a credential. */
  readonly principal: string | undefined
}

/** The recovery point of a record nobody has committed anything for, and of one that is done. */
export const STARTED = 'started'
export const FINISHED = 'finished'

/**
 * The fingerprint of a tombstone: a finished record of which nothing is left but its id, so that a retry is still told
 * that it was done. No request has it: digests begin with their version (ADR 0027).
 */
export const ERASED = 'erased'

/** What is recorded of one stage or call. */
export type Step =
  | { readonly kind: 'stage'; readonly result?: unknown }
  | { readonly kind: 'call'; readonly status: 'done'; readonly result?: unknown }
  /** A call that is not repeatable was about to be sent; nothing is known of its answer yet. */
  | { readonly kind: 'call'; readonly status: 'sent' }

/** The steps of a record by name, in the order they were recorded. */
export type Stages = ReadonlyMap<string, Step>

/** A record as a claim finds it. Instants were compared on the database's clock, in the statement that read it. */
export interface FoundRecord {
  readonly id: string
  readonly state: State
  readonly fingerprint: string
  /** The nonce of the attempt that holds it; undefined when it was released. */
  readonly owner: string | undefined
  readonly attempt: number
  /** Grows with every change of point, stages or state. */
  readonly revision: number
  readonly recoveryPoint: string
  readonly stages: Stages
  /** Equal in all attempts of one execution, different after a reset: the creation instant, as text. */
  readonly execution: string
  /** Its retention is over. */
  readonly expired: boolean
  /** Milliseconds until the lease lapses; 0 when it has, or was released. */
  readonly leaseLeftMs: number
  /** Present when `finished`. */
  readonly outcome: Outcome | undefined
  /** Of the operation that began it; undefined where that was not a registered one. */
  readonly version: string | undefined
}

/** A record with what it is about. */
export interface WholeRecord extends FoundRecord {
  readonly operation: string
  readonly scope: string
  readonly key: string
  /** Undefined: it was not begun by a registered operation, and only its client can go on. */
  readonly task: Task | undefined
}

/** What to do about a record that was there before us. */
export type Decision =
  | { readonly kind: 'replay'; readonly outcome: Outcome }
  | { readonly kind: 'mismatch' }
  | { readonly kind: 'own' }
  | { readonly kind: 'in_progress'; readonly leaseLeftMs: number }
  | { readonly kind: 'take_over' }
  | { readonly kind: 'mark_unknown'; readonly call: string }
  | { readonly kind: 'reset' }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'failed' }

/**
 * Decides in the protocol's order: an expired outcome is no outcome; a tombstone is done for every request, since it
 * cannot tell one from another; a mismatch wins over everything else that stands; our own claim recognises itself; only
 * a lapsed lease may be taken over; and a call that was sent and not repeatable stops the record.
 */
export function decide(record: FoundRecord, owner: string, fingerprint: Fingerprint): Decision {
  invariant(record.attempt >= 1, 'an attempt is counted from one', {
    id: record.id,
    attempt: record.attempt,
  })
  invariant(
    (record.state === 'finished') === (record.outcome !== undefined),
    'a record has an outcome if and only if it is finished',
    { id: record.id },
  )
  if (record.outcome !== undefined && record.expired) return { kind: 'reset' }
  if (record.outcome !== undefined && record.fingerprint === ERASED)
    return { kind: 'replay', outcome: { ...record.outcome, erased: true } }
  if (!fingerprint.matches(record.fingerprint)) return { kind: 'mismatch' }
  if (record.outcome !== undefined) return { kind: 'replay', outcome: record.outcome }
  if (record.state === 'unknown' || record.state === 'failed') return { kind: record.state }
  if (record.owner === owner) return { kind: 'own' }
  if (record.leaseLeftMs > 0) return { kind: 'in_progress', leaseLeftMs: record.leaseLeftMs }
  const sent = sentCall(record.stages)
  return sent === undefined ? { kind: 'take_over' } : { kind: 'mark_unknown', call: sent }
}

/** The call whose answer was never learned, if there is one. */
export function sentCall(stages: Stages): string | undefined {
  for (const [name, step] of stages) if (step.kind === 'call' && step.status === 'sent') return name
  return undefined
}

/** The `stages` column of some steps. Names begin with a letter, so the object keeps their order. */
export function stagesText(stages: Stages): string {
  return JSON.stringify(Object.fromEntries(stages))
}

/** The steps of a `stages` column. Own members only, into a Map: a member named `constructor` is just a name. */
export function stagesOf(text: string): Stages {
  const parsed: unknown = JSON.parse(text)
  invariant(typeof parsed === 'object' && parsed !== null, 'stages is a JSON object')
  return new Map(Object.entries(parsed as Record<string, Step>))
}

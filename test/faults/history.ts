/**
 * The history of a run under faults: what clients asked and were answered, what each record went through, what was
 * committed and what was sent to other systems. One object a line, so that real processes write files and the simulation
 * an array; `checker.ts` reads both. What a lane cannot see it leaves out, and the checks that need it hold nothing then.
 */
import { hash } from 'node:crypto'

/** Who writes: the nonce of an attempt, and its number. */
export interface HistoryHold {
  readonly owner: string
  readonly attempt: number
}

/** For whom a response says that it was made. */
export interface MadeFor {
  readonly scope: string
  /** What the client calls its input; not Pawl's digest. */
  readonly fingerprint: string
}

/** What a response is, for comparing: status, a digest of its bytes, and the headers that are replayed. */
export interface SeenOutcome {
  readonly status: number
  readonly body: string
  readonly headers: string
  readonly madeFor: MadeFor | undefined
}

/** A record at one instant. Instants are the database's clock, in milliseconds. */
export interface SeenRecord {
  readonly execution: string
  readonly state: 'running' | 'finished' | 'unknown' | 'failed'
  readonly owner: string | undefined
  readonly attempt: number
  readonly revision: number
  readonly recoveryPoint: string
  /** By name, in their order: `done`, or `sent` for a call whose answer is not known. */
  readonly steps: Readonly<Record<string, 'done' | 'sent'>>
  readonly lockedUntil: number | undefined
  readonly expiresAt: number
  readonly outcome: SeenOutcome | undefined
}

/** One request as its process took it; a retry is another one. */
export interface RequestEvent extends MadeFor {
  readonly op: 'request'
  readonly process: string
  readonly request: number
  readonly id: string
  readonly key: string
  /** The nonces that were made for it. */
  readonly owners: readonly string[]
  readonly invokedAt: number
  /** The database's clock then. */
  readonly invokedClock: number
  /** Undefined when nobody knows: its process died, or it never ended. */
  readonly returnedAt: number | undefined
  readonly returnedClock: number | undefined
  readonly answer:
    | { readonly type: 'ok'; readonly replayed: boolean; readonly outcome: SeenOutcome }
    | { readonly type: 'fail'; readonly code: string; readonly safeNewKey: boolean }
    | { readonly type: 'info' }
}

/** A record changed, in one commit. */
export interface ChangeEvent {
  readonly op: 'change'
  readonly at: number
  readonly clock: number
  readonly id: string
  /** Who says that it holds the record, where the statement names a holder. */
  readonly by: HistoryHold | undefined
  readonly before: SeenRecord | undefined
  readonly after: SeenRecord | undefined
}

/** A stage's transaction committed. */
export interface CommitEvent {
  readonly op: 'commit'
  readonly at: number
  readonly id: string
  readonly execution: string | undefined
  /** The effects in it. */
  readonly effects: readonly string[]
  readonly hold: HistoryHold
  /** Who held the record, read in the same transaction before its last statement; undefined: there was none. */
  readonly current: Partial<HistoryHold> | undefined
}

/** A call reached another system. */
export interface SentEvent {
  readonly op: 'sent'
  readonly at: number
  readonly id: string
  /** Undefined when the lane cannot tell which. */
  readonly execution: string | undefined
  readonly call: string
  readonly downstreamKey: string
  readonly repeatable: boolean
  /** It did there what it asks for, whether for the first time or again. */
  readonly happened: boolean
}

/** One row of the effects' table, which is append-only and has no unique constraint: one would hide the bug. */
export interface EffectEvent {
  readonly op: 'effect'
  readonly id: string
  readonly execution: string
  readonly step: string
  readonly owner: string | undefined
}

/** No fault is injected any more. */
export interface QuietEvent {
  readonly op: 'quiet'
  readonly at: number
}

/** The run is over. */
export interface EndEvent {
  readonly op: 'end'
  readonly at: number
  /** What is left that should not be: an open transaction, a waiter, a lease, each in words. */
  readonly leaks: readonly string[]
}

/** A fault, for whoever reads the history. */
export interface FaultEvent {
  readonly op: 'fault'
  readonly at: number
  readonly fault: string
  readonly on: string
}

/** What the engine asserted. */
export interface AssertionEvent {
  readonly op: 'assertion'
  readonly at: number
  readonly process: string
  readonly message: string
}

/** One line of a history. */
export type HistoryEvent =
  | RequestEvent
  | ChangeEvent
  | CommitEvent
  | SentEvent
  | EffectEvent
  | QuietEvent
  | EndEvent
  | FaultEvent
  | AssertionEvent

/** Takes what happens, in the order in which it happens. */
export class History {
  readonly events: HistoryEvent[] = []

  add(event: HistoryEvent): void {
    this.events.push(event)
  }

  /** One object a line. */
  text(): string {
    return this.events.map((event) => JSON.stringify(event)).join('\n')
  }

  /** Equal for equal histories, to the byte. */
  digest(): string {
    return hash('sha256', this.text(), 'hex')
  }
}

/** The events of files that real processes wrote, each in its own order. */
export function historyOf(text: string): readonly HistoryEvent[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as HistoryEvent)
}

/** What each record went through, put together from its changes; for the checker. */
import type { ChangeEvent, RequestEvent, SeenOutcome, SeenRecord } from './history.ts'

/** One execution: from the claim that began it to the one that began the next. */
export interface Execution {
  readonly execution: string
  /** Counted from 0, in the order they began. */
  readonly order: number
  /** The nonce of the attempt that began it. */
  readonly begunBy: string | undefined
  readonly begunAt: number
  /** How many attempts there were. */
  readonly attempts: number
  readonly outcome: SeenOutcome | undefined
  /** When its retention is over, as last seen. */
  readonly expiresAt: number
}

/** A record between two of its changes. */
interface Segment {
  readonly from: number
  readonly to: number
  readonly clock: number
  readonly record: SeenRecord | undefined
}

/** One record. */
export interface RecordHistory {
  readonly executions: readonly Execution[]
  readonly segments: readonly Segment[]
  /** As it is at the end; undefined: deleted. */
  readonly last: SeenRecord | undefined
  /** When it last changed its state. */
  readonly lastAt: number
  /** The execution that stored this; undefined: none did. */
  executionOf(outcome: SeenOutcome): Execution | undefined
}

/** By id. */
export function recordsOf(changes: readonly ChangeEvent[]): ReadonlyMap<string, RecordHistory> {
  const byId = new Map<string, ChangeEvent[]>()
  for (const change of changes) {
    const those = byId.get(change.id)
    if (those === undefined) byId.set(change.id, [change])
    else those.push(change)
  }
  for (const those of byId.values()) those.sort((a, b) => a.at - b.at)
  return new Map([...byId].map(([id, those]) => [id, recordOf(those)]))
}

type Growing = { -readonly [Name in keyof Execution]: Execution[Name] }

function recordOf(changes: readonly ChangeEvent[]): RecordHistory {
  const executions: Growing[] = []
  let lastAt = 0
  for (const { at, before, after } of changes) {
    if (before?.state !== after?.state) lastAt = at
    if (after === undefined) continue
    const current = executions.at(-1)
    if (current === undefined || before?.execution !== after.execution) {
      const order = executions.length
      executions.push({ ...seenOf(after), order, begunBy: after.owner, begunAt: at, attempts: 1 })
    } else {
      Object.assign(current, seenOf(after))
      if (before.attempt !== after.attempt) current.attempts++
    }
  }
  const byOutcome = new Map(
    executions.flatMap((one) => (one.outcome === undefined ? [] : [[nameOf(one.outcome), one]])),
  )
  const segments = changes.map(({ at, clock, after }, index) => {
    return { from: at, to: changes[index + 1]?.at ?? Infinity, clock, record: after }
  })
  return {
    executions,
    segments,
    last: changes.at(-1)?.after,
    lastAt,
    executionOf: (outcome) => byOutcome.get(nameOf(outcome)),
  }
}

function seenOf({ execution, outcome, expiresAt }: SeenRecord) {
  return { execution, outcome, expiresAt }
}

/** Bytes tell executions apart: every one has something of its own in its body. */
function nameOf({ body }: SeenOutcome): string {
  return body
}

/** Whether another attempt than the request's own had a live lease at some instant while it was being answered. */
export function liveAmong({ segments }: RecordHistory, asked: RequestEvent): boolean {
  const { invokedAt, invokedClock, returnedAt = Infinity, owners } = asked
  return segments.some(({ from, to, clock, record }) => {
    if (from > returnedAt || to < invokedAt) return false
    if (record?.state !== 'running' || record.owner === undefined) return false
    if (owners.includes(record.owner)) return false
    return (record.lockedUntil ?? -Infinity) >= Math.max(clock, from < invokedAt ? invokedClock : 0)
  })
}

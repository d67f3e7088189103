/** Batches as they travel: one JSON text for every size of batch, on every driver. */
import { stagesText } from '../core/record.ts'
import type { ClaimInput, Hold, Write } from '../core/store.ts'

/** A change and who makes it. */
interface HeldWrite {
  readonly hold: Hold
  readonly write: Write
}

/** A change as JSON text, made when it is asked for: what its maker changes later is not in it. */
export interface ChangeText {
  /** Tells the changes of a batch apart, also two of one record. */
  readonly at: number
  readonly text: string
}

let changes = 0

/** A change on its way. */
export function changeText(hold: Hold, write: Write): ChangeText {
  const at = (changes = (changes + 1) % 0x7fff_ffff)
  const held = { hold, write }
  return { at, text: JSON.stringify({ at, ...changeJson(held) }) }
}

/** What a statement is given for some changes. */
export function batchText(texts: readonly ChangeText[]): string {
  return `[${texts.map(({ text }) => text).join(',')}]`
}

/** First claims. */
export function claimsText(claims: readonly ClaimInput[]): string {
  return JSON.stringify(claims.map(claimJson))
}

/** Member by member: one shape for all, and this is the most frequent text there is. */
function claimJson(claim: ClaimInput): object {
  const { id, scope, operation, key, fingerprint, owner, method, path, task } = claim
  const { leaseMs: lease_ms, retentionMs: retention_ms } = claim
  // prettier-ignore
  const json = { id, scope, operation, key, fingerprint, owner, method, path, lease_ms, retention_ms }
  return task === undefined ? json : { ...json, ...taskJson(task) }
}

/** The input as a text inside the text: it must come back as it was written, which JSON in JSON does not promise. */
function taskJson({ dueMs, ...task }: NonNullable<ClaimInput['task']>): object {
  return { ...task, due_ms: dueMs }
}

/** A change that goes alone. Null: whatever is there stays, or for the lease, is given back. */
export function changeValues(hold: Hold, write: Write): readonly unknown[] {
  const change = changeJson({ hold, write }) as Readonly<Record<string, unknown>>
  return CHANGE_VALUES.map((name) => change[name] ?? null)
}

const CHANGE_VALUES = [
  'id',
  'owner',
  'attempt',
  'point',
  'revision',
  'next_point',
  'next_state',
  'stages',
  'lease_ms',
]

/** Characters and bytes, as near as matters. */
export function weightOf(values: readonly unknown[]): number {
  return values.reduce<number>((sum, value) => {
    return sum + (typeof value === 'string' || value instanceof Uint8Array ? value.length : 8)
  }, 0)
}

/** A change. Without a lease, it gives the lease back. */
function changeJson({ hold, write }: HeldWrite): object {
  if (write.kind === 'release') return hold
  const common = { ...hold, point: write.from, revision: write.revision }
  switch (write.kind) {
    case 'advance':
      return {
        ...common,
        next_point: write.to,
        stages: stagesText(write.stages),
        lease_ms: write.leaseMs,
      }
    case 'journal':
      return {
        ...common,
        stages: stagesText(write.stages),
        lease_ms: write.leaseMs,
      }
    case 'unknown':
      return { ...common, next_state: 'unknown', stages: stagesText(write.stages) }
    case 'finish':
      return finishJson(hold, write)
  }
}

/** An outcome; its body in base64, since JSON has no bytes. */
function finishJson(hold: Hold, write: Extract<Write, { kind: 'finish' }>): object {
  const { from, revision, outcome, retentionMs } = write
  const { status, headers, body } = outcome
  return {
    ...hold,
    point: from,
    revision,
    status,
    headers: JSON.stringify(headers),
    body: body && Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('base64'),
    retention_ms: retentionMs,
  }
}

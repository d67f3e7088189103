/** Batches as they travel: one JSON text for every size of batch, on every driver. */
import { stagesText } from '../core/record.ts'
import type { ClaimInput, Hold, Write } from '../core/store.ts'

/** A change and who makes it. */
export interface HeldWrite {
  readonly hold: Hold
  readonly write: Write
}

/** A first claim. */
export function claimJson({ leaseMs, retentionMs, ...claim }: ClaimInput): object {
  return { ...claim, lease_ms: leaseMs, retention_ms: retentionMs }
}

/** A change other than finish. Without a lease, it gives the lease back. */
export function changeJson({ hold, write }: HeldWrite): object {
  const common = { ...hold, point: write.kind === 'finish' ? null : write.from }
  switch (write.kind) {
    case 'advance':
      return {
        ...common,
        next_point: write.to,
        next_state: 'running',
        stages: stagesText(write.stages),
        lease_ms: write.leaseMs,
      }
    case 'journal':
      return {
        ...common,
        next_point: write.from,
        next_state: 'running',
        stages: stagesText(write.stages),
        lease_ms: write.leaseMs,
      }
    case 'unknown':
      return {
        ...common,
        next_point: write.from,
        next_state: 'unknown',
        stages: stagesText(write.stages),
      }
    case 'release':
      return { ...common, next_point: write.from, next_state: 'running' }
    case 'finish':
      return finishJson({ hold, write })
  }
}

/** An outcome; its body in base64, since JSON has no bytes. */
export function finishJson({ hold, write }: HeldWrite): object {
  if (write.kind !== 'finish') return changeJson({ hold, write })
  const { from, outcome, retentionMs } = write
  const { status, headers, body } = outcome
  return {
    ...hold,
    point: from,
    status,
    headers: JSON.stringify(headers),
    body: body && Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('base64'),
    retention_ms: retentionMs,
  }
}

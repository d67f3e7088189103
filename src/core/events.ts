/**
 * What the core announces. Ids, names and numbers only: never a key, a body or a parameter.
 * Also published on the diagnostics channel `pawl:event`, for telemetry without a hook.
 */
import { channel } from 'node:diagnostics_channel'
import type { Code } from './codes.ts'

interface About {
  readonly id: string
  readonly operation: string
  readonly attempt: number
}

/** One thing that happened, told after it did. */
export type PawlEvent =
  | (About & {
      readonly type: 'claimed'
      readonly resumed: boolean
      readonly recoveryPoint: string
    })
  | (About & { readonly type: 'taken_over'; readonly recoveryPoint: string })
  | (About & { readonly type: 'stage_committed'; readonly step: string; readonly tries: number })
  | (About & { readonly type: 'step_resumed'; readonly step: string })
  | (About & { readonly type: 'call_sent'; readonly step: string; readonly repeatable: boolean })
  | (About & { readonly type: 'call_recorded'; readonly step: string })
  | (About & { readonly type: 'finished'; readonly status: number; readonly bodyStored: boolean })
  | (About & { readonly type: 'released'; readonly recoveryPoint: string; readonly error: unknown })
  | (About & { readonly type: 'release_failed'; readonly error: unknown })
  | (About & { readonly type: 'lease_lost'; readonly step: string })
  | (About & { readonly type: 'heartbeat_failed'; readonly error: unknown })
  | (About & { readonly type: 'aborted'; readonly step: string; readonly tries: number })
  | (About & { readonly type: 'commit_unknown'; readonly step: string })
  | (About & { readonly type: 'commit_resolved'; readonly step: string; readonly landed: boolean })
  | (About & { readonly type: 'outcome_unknown'; readonly step: string })
  | (About & {
      readonly type: 'resolved'
      readonly step: string
      readonly resolution: 'done' | 'never'
      readonly by: 'resolver' | 'operator'
    })
  | (About & { readonly type: 'resolver_failed'; readonly step: string; readonly error: unknown })
  | (About & { readonly type: 'failed'; readonly why: 'attempts' | 'not_authorized' })
  | (About & { readonly type: 'retried' })
  | (About & { readonly type: 'completer_failed'; readonly error: unknown })
  | {
      readonly type: 'replayed'
      readonly id: string
      readonly operation: string
      readonly status: number
    }
  | {
      readonly type: 'refused'
      readonly id: string
      readonly operation: string
      readonly code: Code
    }
  | { readonly type: 'unprotected'; readonly operation: string; readonly why: string }
  | (About & { readonly type: 'forgotten' })
  | { readonly type: 'purged'; readonly erased: number; readonly left: number }
  | { readonly type: 'reaped'; readonly count: number }
  | {
      readonly type: 'worker_failed'
      readonly worker: 'completer' | 'reaper'
      readonly error: unknown
    }

const events = channel('pawl:event')

/** Tells the channel and the application's own listener. A listener that throws never disturbs a request. */
export function announcer(
  listener: ((event: PawlEvent) => void) | undefined,
): (event: PawlEvent) => void {
  if (listener === undefined) {
    return (event) => {
      if (events.hasSubscribers) events.publish(event)
    }
  }
  // A listener may be asynchronous whatever its type says; a rejection of it would end the process.
  const tell: (event: PawlEvent) => unknown = listener
  return (event) => {
    if (events.hasSubscribers) events.publish(event)
    const warn = (error: unknown): void => {
      process.emitWarning(`onEvent threw for "${event.type}": ${String(error)}`, 'PawlWarning')
    }
    try {
      const told = tell(event)
      if (told instanceof Promise) told.catch(warn)
    } catch (error) {
      warn(error)
    }
  }
}

/** How a process of an application is started, what it is told and what it says. */
import type { PawlEvent } from '../../src/index.ts'
import type { Reply } from './rides.ts'

/** How it is started. */
export interface AppSettings {
  /** Its attempts are known by it: the owner of each begins with it. */
  readonly name: string
  readonly url: string
  readonly leaseMs: number
  readonly storeTimeoutMs?: number
  readonly pool?: number
  /** How often its completer looks; it has none by default. */
  readonly completerMs?: number
  /** After so long inside a transaction without a statement the server ends the session. */
  readonly idleInTransactionMs?: number
  /** Pauses between steps, drawn up to so many milliseconds. */
  readonly betweenMs?: number
  /** False: as in production, the fence travels with COMMIT. */
  readonly failpoints?: boolean
}

/** Where a request meets its fault. */
export interface Fault {
  /** A failpoint, or `handler`: between two steps. */
  readonly at: string
  readonly step?: string
  /**
   * `hold`: tells, and stands still until it is told to go. `handler_throws`: the handler's own error, behind the first
   * stage.
   */
  readonly action: 'SIGKILL' | 'SIGSTOP' | 'throw' | 'hold'
}

/** What it is told. */
export type ToApp =
  | {
      readonly type: 'ask'
      readonly nth: number
      readonly key: string
      readonly repeatable: boolean
      readonly faults: readonly Fault[]
      /** The handler throws behind its first stage. */
      readonly fails: boolean
    }
  | { readonly type: 'go'; readonly key: string }

/** What it says. */
export type FromApp =
  | { readonly type: 'ready' }
  | { readonly type: 'reply'; readonly nth: number; readonly reply: Reply }
  | { readonly type: 'hit'; readonly key: string; readonly fault: Fault; readonly attempt: number }
  | { readonly type: 'event'; readonly event: Told }

/** Of an event, what lanes count. */
export interface Told {
  readonly type: PawlEvent['type']
  readonly id?: string
  readonly attempt?: number
  readonly step?: string
}

/** An error that the lane asked for. */
export const ASKED_FOR = 'a fault that was asked for'

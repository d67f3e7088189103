/** What every step of the protocol works with: the store, the injected world, the limits. */
import type { PawlEvent } from './events.ts'
import type { Leases } from './heartbeat.ts'
import type { Inflight } from './inflight.ts'
import type { OutcomeCache } from './outcome-cache.ts'
import type { Runtime } from './runtime.ts'
import type { Store } from './store.ts'

/** The parts of a running Pawl. */
export interface Engine<Tx, Isolation extends string> {
  readonly store: Store<Tx, Isolation>
  readonly runtime: Runtime
  /** Of the runtime. Asked for before it is called: an awaited promise for nothing costs as much as a small step. */
  readonly failpoint: Runtime['failpoint']
  readonly announce: (event: PawlEvent) => void
  readonly leases: Leases
  readonly inflight: Inflight
  /** Where the application has asked for one. */
  readonly outcomes: OutcomeCache | undefined
  readonly leaseMs: number
  /** After so long an attempt is not renewed any more. */
  readonly attemptMaxMs: number
  /** How long one question to the store may take, retries included. */
  readonly storeTimeoutMs: number
  readonly fingerprintSecrets: readonly string[]
  /** Each a `Registered`, by name. Untyped: an idempotency of any `tx` may be given to who asks for none. */
  readonly operations: Map<string, unknown>
}

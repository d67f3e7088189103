/** What every step of the protocol works with: the store, the injected world, the limits. */
import type { PawlEvent } from './events.ts'
import type { Leases } from './heartbeat.ts'
import type { Failpoint, FailpointDetail, Runtime } from './runtime.ts'
import type { Store } from './store.ts'

/** The parts of a running Pawl. */
export interface Engine<Tx, Isolation extends string> {
  readonly store: Store<Tx, Isolation>
  readonly runtime: Runtime
  readonly announce: (event: PawlEvent) => void
  readonly leases: Leases
  readonly leaseMs: number
  /** How long one question to the store may take, retries included. */
  readonly storeTimeoutMs: number
  readonly fingerprintSecrets: readonly string[]
}

/** Passes a failpoint, where the runtime has them. */
export async function failpoint(
  engine: { readonly runtime: Runtime },
  name: Failpoint,
  detail: FailpointDetail,
): Promise<void> {
  if (engine.runtime.failpoint !== undefined) await engine.runtime.failpoint(name, detail)
}

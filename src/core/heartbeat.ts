/**
 * Step 7, Heartbeat: one statement per process renews all its leases, every third of a lease, skipping rows that a
 * commit holds. It tells a run when its lease is lost; it never decides anything: the fence does.
 * Protocol: docs/internals/protocol.md#heartbeat. Conformance 41.
 */
import { within } from './ask.ts'
import type { Hold, Store } from './store.ts'
import type { Runtime } from './runtime.ts'

/** A run whose lease is renewed. */
export interface Leased {
  readonly hold: Hold
  /** Another attempt has taken over. */
  lost(): void
  /** The store did not answer a renewal. */
  unrenewed(error: unknown): void
}

/** What the heartbeat needs. */
export interface LeasesOptions {
  readonly store: Pick<Store<never>, 'heartbeat'>
  readonly runtime: Runtime
  readonly leaseMs: number
  /** After so long an attempt is not renewed any more: a handler that hangs must not hold its key for ever. */
  readonly attemptMaxMs: number
}

/** The leases of this process. */
export class Leases {
  readonly #options: LeasesOptions
  readonly #since = new Map<Leased, number>()
  /** Cancels the next beat. Undefined: nothing is held, and nothing beats. */
  #cancel: (() => void) | undefined

  constructor(options: LeasesOptions) {
    this.#options = options
  }

  /** The runs whose leases are held now. */
  get held(): readonly Leased[] {
    return [...this.#since.keys()]
  }

  add(leased: Leased): void {
    this.#since.set(leased, this.#options.runtime.now())
    if (this.#cancel === undefined) this.#next()
  }

  delete(leased: Leased): void {
    this.#since.delete(leased)
  }

  /** Nothing is renewed any more; for a process that shuts down. */
  stop(): void {
    this.#since.clear()
    this.#cancel?.()
    this.#cancel = undefined
  }

  #next(): void {
    const { runtime, leaseMs } = this.#options
    this.#cancel = runtime.timer(leaseMs / 3, () => void this.#beat(), true)
  }

  async #beat(): Promise<void> {
    await this.#renew()
    if (this.#since.size > 0) this.#next()
    else this.#cancel = undefined
  }

  async #renew(): Promise<void> {
    const { store, runtime, leaseMs, attemptMaxMs } = this.#options
    const renewed = [...this.#since]
      .filter(([, since]) => runtime.now() - since < attemptMaxMs)
      .map(([leased]) => leased)
    if (renewed.length === 0) return
    try {
      const answer = store.heartbeat(
        renewed.map((leased) => leased.hold),
        leaseMs,
      )
      // Bounded: a connection that neither answers nor breaks must not end all renewals of this process.
      const lost = await within({ runtime }, 'renewing leases', leaseMs / 3, answer)
      for (const hold of lost) renewed.find((leased) => leased.hold.owner === hold.owner)?.lost()
    } catch (error) {
      for (const leased of renewed) leased.unrenewed(error)
    }
  }
}

/**
 * The world the core runs in: clock, randomness, timers and failpoints, all injected, so that the protocol can be
 * simulated. This is the one file of `core/` that may touch the real ones.
 */
import { randomBytes } from 'node:crypto'

/**
 * The places where a test may stop, kill or fail the process; in the order a request passes them.
 * Each is awaited, and costs one call of an empty function in production.
 */
export const FAILPOINTS = [
  'claim.before',
  'claim.after',
  'take_over.after',
  'stage.work.after',
  'stage.fence.after',
  'stage.commit.after',
  'call.intent.after',
  'call.work.after',
  'call.record.after',
  'finish.work.after',
  'finish.fence.after',
  'finish.commit.after',
  'release.before',
  'release.after',
  'respond.before',
] as const

/** The name of one failpoint. */
export type Failpoint = (typeof FAILPOINTS)[number]

/** Where a failpoint stands: the record, its attempt, and the stage or call that is open there. */
export interface FailpointDetail {
  readonly id: string
  readonly attempt: number
  readonly step?: string
}

/** What the core needs of its surroundings. */
export interface Runtime {
  /** Monotonic milliseconds of this process. Decides when to try; never what is true (that is the database's clock). */
  now(): number
  /** A number in [0, 1), for jitter. */
  random(): number
  /** A fresh nonce of at least 96 random bits, as text: the owner of one attempt. */
  nonce(): string
  /**
   * Calls back once after `ms` milliseconds, unless the function it returns is called before.
   *
   * @param background - true: it does not keep a process alive that has nothing else to do
   */
  timer(ms: number, call: () => void, background?: boolean): () => void
  /** Awaited at every named failpoint. Absent in production. */
  readonly failpoint?: (name: Failpoint, detail: FailpointDetail) => Promise<void>
}

/** What only development and tests are told. */
export function isProduction(): boolean {
  return process.env['NODE_ENV'] === 'production'
}

const NONCE_BYTES = 12
const NONCES_DRAWN = 256
let drawn = Buffer.alloc(0)
let used = 0

/** Random bytes are drawn a page at a time: one draw for each nonce is a tenth of what a request costs. */
function nonce(): string {
  if (used === drawn.length) {
    drawn = randomBytes(NONCE_BYTES * NONCES_DRAWN)
    used = 0
  }
  return drawn.toString('base64url', used, (used += NONCE_BYTES))
}

/** The real clock, the real randomness, no failpoints. */
export const systemRuntime: Runtime = {
  now: () => performance.now(),
  random: () => Math.random(),
  nonce,
  timer: (ms, call, background = false) => {
    const timer = setTimeout(call, ms)
    if (background) timer.unref()
    return () => clearTimeout(timer)
  },
}

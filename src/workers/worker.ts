/** The loop of a worker: one pass after another, at once while there is more to do, else after a jittered pause. */
import { type Duration, milliseconds } from '../core/duration.ts'
import type { Engine } from '../core/engine.ts'

const EVERY = { min: 10, max: 86_400_000 }
const STOP = { min: 0, max: 600_000 }

/** What one pass did. `more`: there was more to do than it took. */
export interface Pass<Report> {
  readonly report: Report
  readonly more: boolean
}

/** A worker: in the process of the API, in one of its own, or once from cron. */
export interface Worker<Report> {
  /** Works until it is stopped; keeps the process alive. A pass that fails is announced, and the next one comes. */
  start(): void
  /**
   * Begins nothing more, and waits for what is under way, `wait` at the most (`'10s'` by default). Call it before
   * `idempotency.close()`, which gives up the rest.
   */
  stop(options?: { readonly wait?: Duration }): Promise<void>
  /**
   * Passes until nothing more is to be done, and says what was done.
   *
   * @throws {@link StoreUnavailableError} no answer from the store
   */
  runOnce(): Promise<Report>
}

/** What a worker is made of. */
export interface Workings<Report> {
  readonly name: 'completer' | 'reaper'
  readonly everyMs: number
  readonly none: Report
  readonly add: (sum: Report, next: Report) => Report
  /** @param isStopping - asked before each further piece of work */
  readonly pass: (isStopping: () => boolean) => Promise<Pass<Report>>
}

/** @throws {@link ConfigError} */
export function everyMs(every: Duration): number {
  return milliseconds('every', every, EVERY)
}

/** Makes a worker of its parts. */
export function workerOf<Tx, Isolation extends string, Report>(
  { runtime, announce }: Engine<Tx, Isolation>,
  { name, everyMs: pauseMs, none, add, pass }: Workings<Report>,
): Worker<Report> {
  let loops: Promise<void> = Promise.resolve()
  /** Of the loop that runs now. */
  let current: { isStopping: boolean } | undefined
  let wake = (): void => undefined
  const rest = (): Promise<void> =>
    new Promise((resolve) => {
      // Between half and one and a half: many processes that were started together do not look together.
      const cancel = runtime.timer(pauseMs * (0.5 + runtime.random()), resolve)
      wake = () => {
        cancel()
        resolve()
      }
    })
  const loop = async (own: { isStopping: boolean }): Promise<void> => {
    while (!own.isStopping) {
      let more = false
      try {
        ;({ more } = await pass(() => own.isStopping))
      } catch (error) {
        announce({ type: 'worker_failed', worker: name, error })
      }
      if (!more && !own.isStopping) await rest()
    }
  }
  return {
    start: () => {
      if (current !== undefined) return
      const own = { isStopping: false }
      current = own
      // Behind the one before, if that is being stopped.
      loops = loops.then(() => loop(own))
    },
    stop: async ({ wait = '10s' } = {}) => {
      const waitMs = milliseconds('stop wait', wait, STOP)
      if (current !== undefined) current.isStopping = true
      current = undefined
      wake()
      await new Promise<void>((resolve) => {
        const cancel = runtime.timer(waitMs, resolve)
        void loops.then(resolve).finally(cancel)
      })
    },
    runOnce: async () => {
      let sum = none
      for (;;) {
        const { report, more } = await pass(() => false)
        sum = add(sum, report)
        if (!more) return sum
      }
    },
  }
}

/** Each with what it counts, added up. */
export function summed<Report extends Readonly<Record<string, number>>>(
  a: Report,
  b: Report,
): Report {
  const names = new Set([...Object.keys(a), ...Object.keys(b)])
  return Object.fromEntries(
    [...names].map((name) => [name, (a[name] ?? 0) + (b[name] ?? 0)]),
  ) as Report
}

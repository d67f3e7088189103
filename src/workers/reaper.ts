/**
 * The reaper: deletes finished records whose retention is over, or leaves tombstones of them, in bounded batches. Any
 * number may run at once.
 */
import { ask } from '../core/ask.ts'
import { type Duration, milliseconds } from '../core/duration.ts'
import { ConfigError } from '../core/errors.ts'
import type { Idempotency } from '../core/idempotency.ts'
import { TOMBSTONES } from '../core/policy.ts'
import { everyMs, summed, type Worker, workerOf } from './worker.ts'

const BATCH_MAX = 10_000
const GRACE = { min: 0, max: 365 * 86_400_000 }

/** How a reaper works. */
export interface ReaperOptions {
  /** How long it rests when nothing is left to delete; `'1m'` by default, give or take half. */
  readonly every?: Duration
  /** Records deleted in one statement; 500 by default. */
  readonly batch?: number
  /** How long a record stays when its retention is over, beside that; `'1h'` by default. */
  readonly grace?: Duration
  /**
   * How long a record of which nothing is left but its id still tells a retry that it was done, so that it is not
   * executed again; 1 minute to 10 years. None by default: the key is new when its retention is over.
   */
  readonly tombstones?: Duration
}

/** What a reaper did. */
export interface ReaperReport {
  /** Records it deleted, or made tombstones of. */
  readonly reaped: number
  readonly [name: string]: number
}

/**
 * Makes a reaper. It never deletes a record that is running, unknown or failed, however old.
 *
 * @throws {@link ConfigError} an option cannot be used
 */
export function createReaper<Tx, Isolation extends string>(
  { engine }: Idempotency<Tx, Isolation>,
  options: ReaperOptions = {},
): Worker<ReaperReport> {
  const { batch = 500 } = options
  if (!Number.isInteger(batch) || batch < 1 || batch > BATCH_MAX) {
    throw new ConfigError(
      `batch: expected an integer from 1 to ${BATCH_MAX}, got ${String(batch)}.`,
    )
  }
  const graceMs = milliseconds('grace', options.grace ?? '1h', GRACE)
  const { tombstones } = options
  const tombstoneMs =
    tombstones === undefined ? 0 : milliseconds('tombstones', tombstones, TOMBSTONES)
  return workerOf<Tx, Isolation, ReaperReport>(engine, {
    name: 'reaper',
    everyMs: everyMs(options.every ?? '1m'),
    none: { reaped: 0 },
    add: summed,
    pass: async () => {
      const reaped = await ask(engine, 'reaping', () =>
        engine.store.reap(batch, graceMs, tombstoneMs),
      )
      if (reaped > 0) engine.announce({ type: 'reaped', count: reaped })
      return { report: { reaped }, more: reaped === batch }
    },
  })
}

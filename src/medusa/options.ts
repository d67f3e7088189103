/** What the service may be told: a static member of the class, so that a subclass changes it without a constructor. */
import { type Duration, milliseconds } from '../core/duration.ts'
import { ConfigError } from '../core/errors.ts'

/** Options of the service. */
export interface IdempotencyKeyServiceOptions {
  /** How long a key is held without a sign of life. `'10s'` by default. */
  readonly lease?: Duration
  /**
   * How long the process renews the lease of a request of which it has not heard. A route that fails outside a stage
   * tells the service nothing, and its key stays held for so long. `'30s'` by default.
   */
  readonly idle?: Duration
  /** How long a finished key is kept at least, for a reaper. `'24h'` by default. */
  readonly retention?: Duration
  /**
   * What becomes of another method, path or params under the same key: `'refuse'` by default; `'ignore'` answers with
   * what is stored, as the original did.
   */
  readonly mismatch?: 'refuse' | 'ignore'
  /** Named prepared statements. True by default; turns itself off behind a pooler that cannot keep them. */
  readonly prepare?: boolean
}

/** The same, checked and filled. */
export interface Settings {
  readonly leaseMs: number
  readonly idleMs: number
  readonly retentionMs: number
  readonly mismatch: 'refuse' | 'ignore'
  readonly prepare: boolean
}

const settings = new WeakMap<IdempotencyKeyServiceOptions, Settings>()

/**
 * The settings of some options; each object is checked once.
 *
 * @throws {@link ConfigError} an option cannot be used
 */
export function settingsOf(options: IdempotencyKeyServiceOptions): Settings {
  const known = settings.get(options)
  if (known !== undefined) return known
  const { mismatch = 'refuse' } = options
  if (mismatch !== 'refuse' && mismatch !== 'ignore') {
    throw new ConfigError(
      `mismatch: expected 'refuse' or 'ignore', got ${JSON.stringify(mismatch)}.`,
    )
  }
  const made = {
    leaseMs: milliseconds('lease', options.lease ?? '10s', { min: 200, max: 3_600_000 }),
    idleMs: milliseconds('idle', options.idle ?? '30s', { min: 0, max: 86_400_000 }),
    retentionMs: milliseconds('retention', options.retention ?? '24h', {
      min: 60_000,
      max: 400 * 86_400_000,
    }),
    mismatch,
    prepare: options.prepare ?? true,
  }
  settings.set(options, made)
  return made
}

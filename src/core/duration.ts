/** Durations as users write them, parsed once, at start-up. */
import { ConfigError } from './errors.ts'

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** Milliseconds as a number, or a string with a unit: `'250ms'`, `'10s'`, `'15m'`, `'24h'`, `'30d'`. */
export type Duration = number | `${number}${keyof typeof UNITS}`

/**
 * Milliseconds of a duration.
 *
 * @param limits - both ends inclusive, in milliseconds
 * @throws {@link ConfigError} not a duration, or outside the limits
 */
export function milliseconds(
  option: string,
  value: Duration,
  limits: { readonly min: number; readonly max: number },
): number {
  const match = typeof value === 'string' ? /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(value) : null
  const ms = match ? Number(match[1]) * UNITS[match[2] as keyof typeof UNITS] : value
  if (typeof ms !== 'number' || !Number.isFinite(ms)) {
    throw new ConfigError(
      `${option}: expected milliseconds or a string like '10s', got ${JSON.stringify(value)}.`,
    )
  }
  if (ms < limits.min || ms > limits.max) {
    throw new ConfigError(`${option}: expected ${limits.min} to ${limits.max} ms, got ${ms}.`)
  }
  return Math.round(ms)
}

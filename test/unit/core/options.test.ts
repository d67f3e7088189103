/** Goal: a wrong option stops the start with a sentence that says which, what was expected, and what to do. */
import { describe, expect, test } from 'vitest'
import { milliseconds } from '../../../src/core/duration.ts'
import { fingerprintOf } from '../../../src/core/fingerprint.ts'
import { createIdempotency, type IdempotencyOptions } from '../../../src/core/idempotency.ts'
import { policyOf } from '../../../src/core/policy.ts'

const limits = { min: 0, max: 86_400_000 }
const config = expect.objectContaining({ code: 'config_invalid' }) as Error

describe('durations', () => {
  test.each([
    ['250ms', 250],
    ['10s', 10_000],
    ['1.5m', 90_000],
    ['24h', 86_400_000],
    [42, 42],
  ] as const)('%s', (text, ms) => {
    expect(milliseconds('lease', text, limits)).toBe(ms)
  })

  test.each(['10', '10 s', '-1s', Number.NaN, '25h', null])('%s is refused', (text) => {
    expect(() => milliseconds('lease', text as number, limits)).toThrow(config)
  })
})

describe('createIdempotency', () => {
  const store = { claim: () => undefined } as unknown as IdempotencyOptions<never, never>['store']

  test.each([
    [{ store: undefined }],
    [{ store: {} }],
    [{ store, lease: '1ms' }],
    [{ store, lease: 'soon' }],
    [{ store, storeTimeout: '10m' }],
    [{ store, fingerprintSecrets: ['short'] }],
  ])('%# refuses what cannot work', (options) => {
    expect(() => createIdempotency(options as unknown as IdempotencyOptions<never, never>)).toThrow(
      config,
    )
  })

  test.each([
    { onError: 'ignore' },
    { responseMax: -1 },
    { responseMax: 1.5 },
    { retention: '1ms' },
    { storeHeaders: ['Set-Cookie'] },
  ])('refuses %j of an operation', (options) => {
    expect(() => policyOf(options as Parameters<typeof policyOf>[0])).toThrow(config)
  })
})

describe('fingerprints', () => {
  const [old, fresh] = ['an old secret, long enough', 'a fresh secret, long enough']

  test('are versioned, and length-prefixed part by part', () => {
    const { value } = fingerprintOf(['a', 'b'], [])
    expect(value).toMatch(/^v1:[0-9a-f]{64}$/)
    expect(fingerprintOf(['ab', ''], []).value).not.toBe(value)
    expect(fingerprintOf(['a', Buffer.from('b')], []).value).toBe(value)
  })

  test('made under an older secret still match; under a foreign one they do not', () => {
    const stored = fingerprintOf(['a'], [old]).value
    expect(fingerprintOf(['a'], [fresh, old]).matches(stored)).toBe(true)
    expect(fingerprintOf(['b'], [fresh, old]).matches(stored)).toBe(false)
    expect(fingerprintOf(['a'], [fresh]).matches(stored)).toBe(false)
    expect(fingerprintOf(['a'], []).matches(stored)).toBe(false)
  })
})

/** Goal: the decision about a record that stands there, every branch, in the protocol's order. */
import { describe, expect, test } from 'vitest'
import {
  decide,
  ERASED,
  type FoundRecord,
  sentCall,
  stagesOf,
  stagesText,
} from '../../../src/core/record.ts'

const fingerprint = { value: 'v1:a', matches: (stored: string) => stored === 'v1:a' }
const outcome = { status: 201, headers: [], body: new Uint8Array() }

function record(change: Partial<FoundRecord>): FoundRecord {
  return {
    id: 'ikey_1',
    state: 'running',
    fingerprint: 'v1:a',
    owner: 'them',
    attempt: 1,
    revision: 0,
    recoveryPoint: 'started',
    stages: new Map(),
    execution: '1',
    expired: false,
    leaseLeftMs: 0,
    outcome: undefined,
    version: undefined,
    ...change,
  }
}

const finished = { state: 'finished', outcome, recoveryPoint: 'finished' } as const
const sent = new Map([['charged', { kind: 'call', status: 'sent' }]] as const)

describe('a claim that finds a record', () => {
  test.each([
    ['finished → replay', finished, 'replay'],
    ['finished and expired → a new execution', { ...finished, expired: true }, 'reset'],
    [
      'finished, expired, other payload → a new execution',
      { ...finished, expired: true, fingerprint: 'x' },
      'reset',
    ],
    ['a tombstone → replay, whatever the payload', { ...finished, fingerprint: ERASED }, 'replay'],
    [
      'a tombstone, expired → a new execution',
      { ...finished, fingerprint: ERASED, expired: true },
      'reset',
    ],
    ['other payload → mismatch', { fingerprint: 'x' }, 'mismatch'],
    [
      '20 · other payload while in flight → mismatch',
      { fingerprint: 'x', leaseLeftMs: 500 },
      'mismatch',
    ],
    ['finished, other payload → mismatch', { ...finished, fingerprint: 'x' }, 'mismatch'],
    ['unknown, other payload → mismatch', { state: 'unknown', fingerprint: 'x' }, 'mismatch'],
    ['unknown → unknown', { state: 'unknown' }, 'unknown'],
    ['its own claim, acknowledgement lost → own', { owner: 'me', leaseLeftMs: 500 }, 'own'],
    ['a live lease → in progress', { leaseLeftMs: 1 }, 'in_progress'],
    ['a lapsed lease → take over', {}, 'take_over'],
    ['a released lease → take over', { owner: undefined }, 'take_over'],
    ['33 · running and expired, lapsed → take over, never a reset', { expired: true }, 'take_over'],
    [
      '33 · running and expired, live → in progress',
      { expired: true, leaseLeftMs: 5 },
      'in_progress',
    ],
    ['33 · unknown and expired → unknown', { state: 'unknown', expired: true }, 'unknown'],
    ['lapsed after a call was sent → unknown', { stages: sent }, 'mark_unknown'],
    [
      'a live lease with a call sent → in progress',
      { stages: sent, leaseLeftMs: 9 },
      'in_progress',
    ],
  ] as const)('%s', (_, change, kind) => {
    expect(decide(record(change as Partial<FoundRecord>), 'me', fingerprint).kind).toBe(kind)
  })

  test('that is finished without an outcome stops itself', () => {
    expect(() => decide(record({ state: 'finished' }), 'me', fingerprint)).toThrow(
      expect.objectContaining({ code: 'invariant_violated' }),
    )
  })
})

test('stages survive their column: order, names like prototype members, results of every kind', () => {
  const stages = new Map([
    ['b', { kind: 'stage', result: { z: 1, a: [null, 'x'] } }],
    ['constructor', { kind: 'call', status: 'done', result: 0 }],
    ['a', { kind: 'stage' }],
  ] as const)
  const back = stagesOf(stagesText(stages))
  expect([...back]).toEqual([...stages])
  expect(back.get('toString')).toBeUndefined()
  expect(sentCall(back)).toBeUndefined()
  expect(sentCall(new Map([...back, ...sent]))).toBe('charged')
})

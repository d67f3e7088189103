/** Goal: no two requests ever share a record by accident, and every name that cannot be stored is refused. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  checkKey,
  checkOperation,
  downstreamKeyOf,
  idOf,
  isStepName,
  scopeText,
} from '../../../src/core/identity.ts'

const part = fc.string({ minLength: 1, maxLength: 40 })

describe('id', () => {
  test('is ikey_ and 32 hex digits, the same each time', () => {
    const id = idOf({ scope: 'user 1', operation: 'create-ride', key: 'a' })
    expect(id).toMatch(/^ikey_[0-9a-f]{32}$/)
    expect(idOf({ scope: 'user 1', operation: 'create-ride', key: 'a' })).toBe(id)
  })

  test('differs whenever scope, operation or key differ, also across their borders', () => {
    fc.assert(
      fc.property(fc.tuple(part, part, part), fc.tuple(part, part, part), (a, b) => {
        const same = a.every((text, at) => text === b[at])
        const id = ([scope, operation, key]: typeof a): string => idOf({ scope, operation, key })
        expect(id(a) === id(b)).toBe(same)
      }),
      { numRuns: 2_000 },
    )
    const id = (scope: string, operation: string, key: string): string =>
      idOf({ scope, operation, key })
    expect(id('ab', 'c', 'd')).not.toBe(id('a', 'bc', 'd'))
    expect(id('a', 'b', 'K')).not.toBe(id('a', 'b', 'k'))
    expect(id('a', 'b', 'k ')).not.toBe(id('a', 'b', 'k'))
  })
})

describe('scope', () => {
  test('of one part is that part; of several it is injective', () => {
    expect(scopeText('u1')).toBe('u1')
    expect(scopeText(['u1'])).toBe('u1')
    expect(scopeText(['a', 'b'])).not.toBe(scopeText('["a","b"]'))
    expect(scopeText(['a,b'])).not.toBe(scopeText(['a', 'b']))
    fc.assert(
      fc.property(
        fc.array(part, { minLength: 1, maxLength: 3 }),
        fc.array(part, { minLength: 1, maxLength: 3 }),
        (a, b) => {
          const left = scopeText(a)
          fc.pre(left !== undefined && scopeText(b) !== undefined)
          expect(left === scopeText(b)).toBe(JSON.stringify(a) === JSON.stringify(b))
        },
      ),
    )
  })

  test('that is empty, too long or not storable is none', () => {
    const bad = ['', [], ['a', ''], 'a\0b', '\ud800', 'x'.repeat(1_025), undefined, null, 7]
    for (const scope of bad) expect(scopeText(scope as string)).toBeUndefined()
  })
})

test('a key is 1 to 255 printable ASCII characters', () => {
  checkKey('a')
  checkKey('x'.repeat(255))
  checkKey(`'; drop table rides; -- %00:"\\`)
  for (const bad of ['', '   ', 'x'.repeat(256), 'é', 'a\nb', 'a\0']) {
    expect(() => checkKey(bad)).toThrow(expect.objectContaining({ code: 'key_invalid' }))
  }
})

test('operations and steps are names; a step is never an index, a prototype or a recovery point of the engine', () => {
  checkOperation('create-ride')
  for (const bad of ['', '1a', 'a b', undefined, 'x'.repeat(101)]) {
    expect(() => checkOperation(bad)).toThrow(expect.objectContaining({ code: 'config_invalid' }))
  }
  expect(isStepName('ride_created')).toBe(true)
  for (const bad of ['__proto__', '0', 'started', 'finished', '', 'a b']) {
    expect(isStepName(bad)).toBe(false)
  }
})

test('a downstream key fits every provider, and differs by call and by execution', () => {
  const key = downstreamKeyOf('ikey_1', '1700000000000000', 'charged')
  expect(key).toMatch(/^call_[0-9a-f]{32}$/)
  expect(key.length).toBeLessThanOrEqual(38)
  expect(downstreamKeyOf('ikey_1', '1700000000000000', 'charged')).toBe(key)
  expect(downstreamKeyOf('ikey_1', '1700000000000001', 'charged')).not.toBe(key)
  expect(downstreamKeyOf('ikey_1', '1700000000000000', 'refunded')).not.toBe(key)
})

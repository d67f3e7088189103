/** Goal: the first attempt sees of a result what a later one would; nothing is lost silently. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { jsonResult } from '../../../src/core/json.ts'

test('a JSON value comes back equal', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(JSON.stringify(jsonResult('s', value).value)).toBe(JSON.stringify(value))
    }),
  )
})

test('what says of itself how it is JSON is taken at its word, in the first attempt too', () => {
  const row = { id: 1, at: new Date(0), left: undefined }
  expect(jsonResult('s', row).value).toEqual({ id: 1, at: '1970-01-01T00:00:00.000Z' })
})

test('undefined is no result, null is one', () => {
  expect(jsonResult('s', undefined)).toEqual({ text: undefined, value: undefined })
  expect(jsonResult('s', null)).toEqual({ text: 'null', value: null })
})

test.each([
  ['NaN', { a: Number.NaN }],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['bigint', { a: 1n }],
  ['function', { a: () => 1 }],
  ['symbol', [Symbol('x')]],
  ['Map', { a: new Map() }],
  ['Set', new Set()],
  ['bytes', { a: Buffer.from('x') }],
  [
    'a circle',
    (() => {
      const a: { self?: unknown } = {}
      a.self = a
      return a
    })(),
  ],
])('%s is refused, and the message names the step', (_, value) => {
  expect(() => jsonResult('charged', value)).toThrow(
    expect.objectContaining({
      code: 'result_not_json',
      message: expect.stringContaining('"charged"') as string,
    }),
  )
})

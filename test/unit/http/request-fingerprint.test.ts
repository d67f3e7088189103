/** Goal: a retry is recognised, anything else is not. Method: pairs of requests; random JSON, written in two ways. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fingerprintOf } from '../../../src/core/fingerprint.ts'
import type { RequestBody } from '../../../src/http/request.ts'
import { requestParts, splitTarget } from '../../../src/http/request-fingerprint.ts'

interface Asked {
  readonly method?: string
  readonly target?: string
  readonly type?: string
  readonly encoding?: string
  readonly body?: string | Uint8Array
  readonly parsed?: unknown
}

async function of(asked: Asked): Promise<string> {
  const headers = { 'content-type': asked.type, 'content-encoding': asked.encoding }
  const body: RequestBody =
    'parsed' in asked
      ? { kind: 'parsed', value: asked.parsed }
      : asked.body === undefined
        ? { kind: 'none' }
        : { kind: 'bytes', bytes: Buffer.from(asked.body) }
  const read = await requestParts(
    {
      method: asked.method ?? 'POST',
      target: asked.target ?? '/rides',
      header: (name) => [headers[name as keyof typeof headers]].filter((one) => one !== undefined),
      body: () => Promise.resolve(body),
    },
    1_000_000,
  )
  if (read.kind !== 'parts') return read.kind
  return fingerprintOf(read.parts, []).value
}

const json = (body: string): Asked => ({ type: 'application/json', body })
const form = (body: string): Asked => ({ type: 'application/x-www-form-urlencoded', body })
const multipart = (boundary: string, ...parts: string[]): Asked => ({
  type: `multipart/form-data; boundary=${boundary}`,
  body: `${parts.map((part) => `--${boundary}\r\n${part}\r\n`).join('')}--${boundary}--\r\n`,
})
const field = (name: string, value: string): string =>
  `Content-Disposition: form-data; name="${name}"\r\n\r\n${value}`
const upload = (name: string, type: string, value: string): string =>
  `Content-Disposition: form-data; name="f"; filename="${name}"\r\nContent-Type: ${type}\r\n\r\n${value}`

describe('the same request', () => {
  test.each<[string, Asked, Asked]>([
    ['21 · reordered members', json('{"a":1,"b":2}'), json('{"b":2,"a":1}')],
    ['21 · whitespace', json('{"a":[1,2]}'), json('{ "a" : [ 1, 2 ] }\n')],
    ['21 · 1 and 1.0 and 1e0', json('[1,1,1]'), json('[1.0,1e0,10E-1]')],
    [
      '21 · seventeen digits',
      json('{"a":0.30000000000000004,"b":1}'),
      json('{"b":1.0,"a":3.0000000000000004e-1}'),
    ],
    ['21 · escapes', json('["a/"]'), json('["\\u0061\\/"]')],
    ['21 · a charset', json('{}'), { ...json('{}'), type: 'Application/JSON; charset=utf-8' }],
    [
      '21 · JSON that a parser has read',
      json('{"a":{"b":[1.50]}}'),
      { type: 'application/json', parsed: { a: { b: [1.5] } } },
    ],
    ['22 · query order', { target: '/r?a=1&b=2' }, { target: '/r?b=2&a=1' }],
    ['22 · query spelling', { target: '/r?a=x%20y' }, { target: '/r?a=x+y' }],
    ['22 · an absolute target', { target: '/r?a=1' }, { target: 'http://host/r?a=1' }],
    [
      '22 · boundary',
      multipart('one', field('a', '1'), upload('n', 'text/plain', 'x')),
      multipart('two', field('a', '1'), upload('n', 'text/plain', 'x')),
    ],
    ['form order', form('a=1&b=2'), form('b=2&a=1')],
    [
      'a form that a parser has read',
      form('a=1&b[c]=x+y&d=1&d=2'),
      {
        type: 'application/x-www-form-urlencoded',
        parsed: { a: '1', b: { c: 'x y' }, d: ['1', '2'] },
      },
    ],
    [
      'bytes that a parser has read',
      { type: 'image/png', body: 'x' },
      { type: 'image/png', parsed: Buffer.from('x') },
    ],
    [
      'text that a parser has read',
      { type: 'text/plain', body: 'ø' },
      { type: 'text/plain', parsed: 'ø' },
    ],
    ['an empty body', { type: 'application/json', body: '' }, {}],
  ])('%s', async (_, left, right) => expect(await of(left)).toBe(await of(right)))
})

describe('another request', () => {
  test.each<[string, Asked, Asked]>([
    ['21 · a number and a string', json('{"a":1}'), json('{"a":"1"}')],
    ['21 · null and absent', json('{"a":null}'), json('{}')],
    ['21 · list order', json('[1,2]'), json('[2,1]')],
    ['21 · members of one name', json('{"a":1,"a":2}'), json('{"a":2}')],
    ['21 · the other member of one name', json('{"a":1,"a":2}'), json('{"a":3,"a":2}')],
    ['21 · digits beyond a double', json('9007199254740993'), json('9007199254740992')],
    ['21 · beyond the largest', json('1e400'), json('1e500')],
    ['21 · below the smallest', json('1e-400'), json('0')],
    ['21 · a colon in a string is no member', json('{"a:":1}'), json('{"a":1}')],
    ['22 · query value', { target: '/r?a=1' }, { target: '/r?a=2' }],
    [
      '22 · query values of one name in another order',
      { target: '/r?a=1&a=2' },
      { target: '/r?a=2&a=1' },
    ],
    ['22 · query bytes that are no UTF-8', { target: '/r?a=%ff' }, { target: '/r?a=%fe' }],
    ['22 · path', { target: '/r' }, { target: '/s' }],
    ['22 · part content', multipart('b', field('a', '1')), multipart('b', field('a', '2'))],
    [
      '22 · part order',
      multipart('b', field('a', '1'), field('a', '2')),
      multipart('b', field('a', '2'), field('a', '1')),
    ],
    [
      '22 · file name',
      multipart('b', upload('n', 'text/plain', 'x')),
      multipart('b', upload('m', 'text/plain', 'x')),
    ],
    [
      '22 · file type',
      multipart('b', upload('n', 'text/plain', 'x')),
      multipart('b', upload('n', 'text/html', 'x')),
    ],
    [
      '22 · a field and a file',
      multipart('b', field('f', 'x')),
      multipart('b', upload('', '', 'x')),
    ],
    [
      '22 · part bytes that are no UTF-8',
      {
        ...multipart('b'),
        body: Buffer.from(
          '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--b--',
          'latin1',
        ),
      },
      {
        ...multipart('b'),
        body: Buffer.from(
          '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xfe\r\n--b--',
          'latin1',
        ),
      },
    ],
    ['method', { method: 'POST' }, { method: 'PATCH' }],
    ['media type', json('{}'), { ...json('{}'), type: 'application/merge-patch+json' }],
    [
      'encoding',
      { type: 'text/plain', body: 'x' },
      { type: 'text/plain', body: 'x', encoding: 'gzip' },
    ],
    ['form value', form('a=1'), form('a=2')],
    [
      'a list of one',
      { type: 'application/x-www-form-urlencoded', parsed: { a: ['1'] } },
      form('a=1'),
    ],
    [
      'JSON text as a string and as a value',
      { type: 'application/json', parsed: '{"a":1}' },
      json('{"a":1}'),
    ],
    [
      'lone surrogates that a parser let in',
      { type: 'application/json', parsed: ['\ud800'] },
      { type: 'application/json', parsed: ['\ud801'] },
    ],
  ])('%s', async (_, left, right) => expect(await of(left)).not.toBe(await of(right)))
})

test('broken JSON, broken multipart and other bytes are compared as bytes', async () => {
  for (const type of [
    'application/json',
    'multipart/form-data; boundary=x',
    'multipart/form-data',
    'text/plain',
  ]) {
    expect(await of({ type, body: '{"a"' })).toBe(await of({ type, body: '{"a"' }))
    expect(await of({ type, body: '{"a"' })).not.toBe(await of({ type, body: '{"b"' }))
  }
})

test('JSON that is nested too deeply to walk is too large, as text compared by its bytes', async () => {
  let deep: unknown = []
  for (let level = 0; level < 100_000; level++) deep = [deep]
  expect(await of({ type: 'application/json', parsed: deep })).toBe('too_large')
  const text = '['.repeat(100_000) + ']'.repeat(100_000)
  expect(await of(json(text))).toBe(await of(json(text)))
})

test('21 · long runs of zeros and blanks cost no more than their length', async () => {
  const zeros = '0'.repeat(500_000)
  const started = performance.now()
  expect(await of(json(`1${zeros}1`))).not.toBe(await of(json(`1${zeros}2`)))
  expect(await of(json(`[1.${zeros}]`))).toBe(await of(json('[1]')))
  expect(performance.now() - started).toBeLessThan(2_000)
})

test('21 · any JSON, written with other whitespace and member order, and parsed', async () => {
  await fc.assert(
    fc.asyncProperty(fc.jsonValue(), async (value) => {
      const expected = await of(json(JSON.stringify(value)))
      expect(await of(json(JSON.stringify(reversed(value), null, 2)))).toBe(expected)
      // A string is ambiguous once parsed: a text parser may have left it.
      if (typeof value === 'string') return
      const parsed: unknown = JSON.parse(JSON.stringify(value))
      expect(await of({ type: 'application/json', parsed })).toBe(expected)
    }),
  )
})

test('21 · two different JSON values never meet', async () => {
  await fc.assert(
    fc.asyncProperty(fc.jsonValue(), fc.jsonValue(), async (left, right) => {
      const isSame = JSON.stringify(sorted(left)) === JSON.stringify(sorted(right))
      expect(
        (await of(json(JSON.stringify(left)))) === (await of(json(JSON.stringify(right)))),
      ).toBe(isSame)
    }),
  )
})

test('22 · a query in any order of names', async () => {
  const pair = fc.tuple(fc.string({ minLength: 1 }), fc.string())
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(pair, { selector: ([name]) => name, maxLength: 6 }),
      async (pairs) => {
        const query = new URLSearchParams(pairs).toString()
        const other = new URLSearchParams([...pairs].reverse()).toString()
        expect(await of({ target: `/r?${query}` })).toBe(await of({ target: `/r?${other}` }))
      },
    ),
  )
})

test('targets', () => {
  expect(splitTarget('/a/b?c=d')).toEqual({ pathname: '/a/b', query: 'c=d' })
  expect(splitTarget('//evil/x')).toEqual({ pathname: '//evil/x', query: '' })
  expect(splitTarget('https://h:1?x=1')).toEqual({ pathname: '/', query: 'x=1' })
  expect(splitTarget('/a?b?c#d')).toEqual({ pathname: '/a', query: 'b?c' })
})

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([name, one]) => [name, reversed(one)]),
  )
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return ['list', ...value.map(sorted)]
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return ['object', ...members.map(([name, one]) => [name, sorted(one)])]
}

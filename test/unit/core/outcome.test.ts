/** Goal: what is stored of a response is its exact bytes and its safe headers, and what cannot be sent is refused. */
import { describe, expect, test } from 'vitest'
import { checkStoredHeaders, outcomeOf, responseOf } from '../../../src/core/outcome.ts'

const text = (body: Uint8Array): string => Buffer.from(body).toString()

describe('a draft', () => {
  test('of JSON is serialised once', () => {
    const { status, headers, body } = responseOf({ body: { b: 1, a: [null] } })
    expect([status, text(body)]).toEqual([200, '{"b":1,"a":[null]}'])
    expect(headers).toEqual([['content-type', 'application/json; charset=utf-8']])
  })

  test('of text, bytes and nothing', () => {
    expect(responseOf({ body: 'hi' }).headers).toEqual([
      ['content-type', 'text/plain; charset=utf-8'],
    ])
    expect(responseOf({ body: Buffer.from([0, 255]) }).headers).toEqual([
      ['content-type', 'application/octet-stream'],
    ])
    expect(responseOf({})).toEqual({ status: 204, headers: [], body: new Uint8Array() })
    expect(responseOf({ status: 200, body: null }).status).toBe(200)
  })

  test('keeps the content type it says', () => {
    const headers = { 'Content-Type': 'application/xml', 'X-Many': ['a', 'b'], 'X-None': undefined }
    expect(responseOf({ headers, body: '<a/>' }).headers).toEqual([
      ['content-type', 'application/xml'],
      ['x-many', 'a'],
      ['x-many', 'b'],
    ])
  })

  test.each([
    [{ status: 99 }],
    [{ status: 600 }],
    [{ status: 200.5 }],
    [{ status: 204, body: 'x' }],
    [{ status: 205, body: 'x' }],
    [{ headers: { 'bad name': 'x' } }],
    [{ headers: { 'x-split': 'a\r\nSet-Cookie: b' } }],
    [{ body: () => 1 }],
  ])('%j is refused', (draft) => {
    expect(() => responseOf(draft)).toThrow(expect.objectContaining({ code: 'config_invalid' }))
  })
})

describe('an outcome', () => {
  const headers = [
    ['location', '/rides/1'],
    ['etag', '"1"'],
    ['content-type', 'text/plain'],
    ['content-encoding', 'gzip'],
    ['set-cookie', 'session=1'],
    ['date', 'now'],
    ['content-length', '1'],
    ['connection', 'close'],
    ['x-request-id', '7'],
  ] as const

  test('16 · holds the safe headers and those asked for, never a credential', () => {
    const stored = outcomeOf(
      { status: 200, headers, body: new Uint8Array() },
      ['x-request-id', 'set-cookie'],
      10,
    )
    expect(stored.headers.map(([name]) => name)).toEqual([
      'location',
      'etag',
      'content-type',
      'content-encoding',
      'x-request-id',
    ])
  })

  test('18 · over the limit holds no body', () => {
    const body = new Uint8Array(11)
    expect(outcomeOf({ status: 200, headers, body }, [], 10).body).toBeUndefined()
    expect(outcomeOf({ status: 200, headers, body }, [], 11).body).toBe(body)
  })

  test('never stores a header that must not be, however it is asked', () => {
    for (const name of ['Set-Cookie', 'authorization', 'Content-Length', 'bad name']) {
      expect(() => checkStoredHeaders([name])).toThrow(
        expect.objectContaining({ code: 'config_invalid' }),
      )
    }
    expect(checkStoredHeaders(['X-Total'])).toEqual(['x-total'])
  })
})

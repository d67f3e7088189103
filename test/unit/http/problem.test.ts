/** Goal: a client learns what it may do, and nothing else. Method: each error of the core's, as a problem. */
import { describe, expect, test } from 'vitest'
import { CODES } from '../../../src/core/codes.ts'
import * as errors from '../../../src/core/errors.ts'
import type { Outcome } from '../../../src/core/outcome.ts'
import { openApiOf } from '../../../src/http/openapi.ts'
import { routeOf } from '../../../src/http/options.ts'
import { type Problem, problemOf, problemOfError } from '../../../src/http/problem.ts'
import { replayOf } from '../../../src/http/replay.ts'

const body = (response: { body: Uint8Array }): Problem =>
  JSON.parse(Buffer.from(response.body).toString()) as Problem
const header = (response: { headers: readonly (readonly [string, string])[] }, name: string) =>
  response.headers.find(([one]) => one === name)?.[1]

describe('a problem', () => {
  test('has exactly its members; operation_ref only where an id is known', () => {
    const response = problemOf({ code: 'in_progress', id: 'ikey_1', retryAfterMs: 1_001 })
    expect(Object.keys(body(response))).toEqual([
      'type',
      'title',
      'status',
      'detail',
      'code',
      'retryable',
      'safe_new_key',
      'operation_ref',
    ])
    expect(body(problemOf({ code: 'key_missing' }))).not.toHaveProperty('operation_ref')
    expect(header(response, 'retry-after')).toBe('2')
    expect(header(response, 'cache-control')).toBe('no-store')
    expect(header(response, 'content-type')).toBe('application/problem+json')
  })

  test('Retry-After is never below a second', () =>
    expect(header(problemOf({ code: 'in_progress', retryAfterMs: 3 }), 'retry-after')).toBe('1'))

  test('type and Link follow docs', () => {
    const docs = 'https://example.com/keys'
    expect(body(problemOf({ code: 'key_invalid' })).type).toBe('urn:pawl:problem:key_invalid')
    expect(body(problemOf({ code: 'key_invalid', docs })).type).toBe(`${docs}#key_invalid`)
    expect(header(problemOf({ code: 'key_invalid', docs }), 'link')).toBe(
      `<${docs}>; rel="describedby"; type="text/html"`,
    )
  })
})

describe('errors', () => {
  const at = { id: 'ikey_1', attempt: 1, step: 's', tries: 5, timeoutMs: 1 }
  test.each([
    [new errors.LeaseLostError(at), 'in_progress', 409],
    [new errors.ClosedError(), 'store_unavailable', 503],
    [new errors.StoreNotMigratedError('t', 'why'), 'store_unavailable', 503],
    [new errors.StageAbortedError(at, new Error('secret')), 'store_unavailable', 503],
    [new errors.StoreUnavailableError('x', new Error('secret')), 'store_unavailable', 503],
    [new errors.OutcomeUnknownError(at, new Error('secret')), 'outcome_unknown', 409],
    [
      new errors.RecoveryPointUnknownError({ id: 'ikey_1', recorded: 'secret', asked: 'secret' }),
      'recovery_point_unknown',
      409,
    ],
    [new errors.CallTimeoutError(at), 'call_timeout', 504],
  ])('%s is told as %s', (error, code, status) => {
    const facts = problemOfError(error)
    if (facts === undefined) throw new Error('expected a problem')
    const response = problemOf(facts)
    expect(body(response)).toMatchObject({ code, status, retryable: CODES[facts.code].retryable })
    expect(Buffer.from(response.body).toString()).not.toContain('secret')
    if (facts.code === 'in_progress' || status === 503)
      expect(Number(header(response, 'retry-after'))).toBeGreaterThan(0)
  })

  test.each([
    new errors.ConfigError('x'),
    new errors.ScopeMissingError('x', 'undefined'),
    new errors.StepMisusedError('x'),
    new errors.ResultNotJsonError('x', 'it', 'y'),
    new errors.StoreFailedError('x', 'y'),
    new errors.InvariantError('x', {}),
    new Error('mine'),
    'a string',
  ])('%s is not for the client', (error) => expect(problemOfError(error)).toBeUndefined())
})

describe('a replay', () => {
  const route = routeOf<string>({ operation: 'x', scope: 'public', storeHeaders: ['x-kept'] })
  const outcome: Outcome = {
    status: 201,
    headers: [
      ['location', '/r/1'],
      ['x-kept', '1'],
    ],
    body: Buffer.from('bytes'),
  }

  test('12, 16 · is the stored bytes, marked, not cached, and no type is made up', async () => {
    expect(await replayOf(route, 'ikey_1', outcome, 'request')).toEqual({
      status: 201,
      headers: [...outcome.headers, ['idempotent-replayed', 'true'], ['cache-control', 'no-store']],
      body: outcome.body,
    })
  })

  test('16 · a stored Cache-Control stays; what must not be stored does not come back', async () => {
    const tampered: Outcome = {
      ...outcome,
      headers: [
        ['cache-control', 'private'],
        ['set-cookie', 'a=1'],
        ['transfer-encoding', 'chunked'],
        ['x-unknown', '1'],
      ],
    }
    const { headers } = await replayOf(route, 'ikey_1', tampered, 'request')
    expect(headers).toEqual([
      ['cache-control', 'private'],
      ['idempotent-replayed', 'true'],
    ])
  })

  test('a stored header that would split the response is refused', async () => {
    const split: Outcome = { ...outcome, headers: [['location', '/\r\nset-cookie: a=1']] }
    await expect(replayOf(route, 'ikey_1', split, 'request')).rejects.toThrow(/cannot carry/)
  })

  test('18 · without its body is a problem with the Location', async () => {
    const response = await replayOf(route, 'ikey_1', { ...outcome, body: undefined }, 'request')
    expect(body(response)).toMatchObject({ code: 'response_not_stored', operation_ref: 'ikey_1' })
    expect(header(response, 'location')).toBe('/r/1')
  })

  test('17 · is rebuilt where the operation says so', async () => {
    const rebuilt = routeOf<string>({
      operation: 'x',
      scope: 'public',
      rebuild: ({ outcome, request }) => ({ status: outcome.status, body: request }),
    })
    const response = await replayOf(rebuilt, 'ikey_1', { ...outcome, body: undefined }, 'now')
    expect([response.status, Buffer.from(response.body).toString()]).toEqual([201, 'now'])
    expect(header(response, 'idempotent-replayed')).toBe('true')
  })
})

test('31 · OpenAPI says the header, the problems by status, and the retention', () => {
  const fragment = openApiOf({
    operation: 'x',
    scope: 'public',
    retention: '2h',
    mismatchStatus: 409,
  })
  expect(fragment.parameters[0]).toMatchObject({
    name: 'Idempotency-Key',
    in: 'header',
    required: true,
  })
  expect(Object.keys(fragment.responses)).toEqual(['400', '409', '413', '503', '504'])
  expect(JSON.stringify(fragment.responses['409'])).toContain('payload_mismatch')
  expect(fragment['x-idempotency']).toEqual({
    retention_seconds: 7_200,
    methods: ['POST', 'PATCH'],
  })
  expect(Object.keys(fragment.headers)).toEqual(['Idempotent-Replayed'])
  expect(
    openApiOf({ operation: 'x', scope: 'public', missing: 'generate', expiresHeader: true })
      .headers,
  ).toHaveProperty('Idempotency-Key-Retention')
})

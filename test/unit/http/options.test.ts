/** Goal: a route that is set up wrongly does not start. Method: one wrong option at a time; the message names it. */
import { describe, expect, test } from 'vitest'
import { ConfigError } from '../../../src/index.ts'
import { type RouteOptions, routeOf } from '../../../src/http/options.ts'

const good: RouteOptions<unknown> = { operation: 'create-ride', scope: () => 'u' }

test('defaults', () => {
  const route = routeOf(good)
  expect(route).toMatchObject({
    missing: 'reject',
    header: 'Idempotency-Key',
    strictHeader: false,
    keyMax: 255,
    mismatchStatus: 422,
    requestMax: 1_048_576,
    expiresHeader: false,
    storeUnavailable: 'refuse',
    docs: undefined,
  })
  expect([...route.methods]).toEqual(['POST', 'PATCH'])
  expect(Object.isFrozen(route)).toBe(true)
})

describe('refused at start', () => {
  test.each<[string, object, RegExp]>([
    ['no scope', { scope: undefined }, /scope: expected a function/],
    ['a constant scope', { scope: 'tenant' }, /one bucket for everybody/],
    ['an operation that is a path', { operation: '/rides' }, /operation/],
    ['a typo', { scopes: () => 'u' }, /"scopes" is no option; did you mean "scope"/],
    ['another typo', { retentoin: '1h' }, /did you mean "retention"/],
    ['a name of every object', { constructor: 1 }, /"constructor" is no option/],
    ['missing', { missing: 'ignore' }, /missing: expected "reject" or "allow" or "generate"/],
    ['GET', { methods: ['GET'] }, /methods: .*"GET"/],
    ['no methods', { methods: [] }, /methods/],
    ['header', { header: 'a b' }, /header/],
    ['keyMax', { keyMax: 256 }, /keyMax: expected an integer from 1 to 255/],
    ['mismatchStatus', { mismatchStatus: 418 }, /mismatchStatus/],
    ['requestMax', { requestMax: -1 }, /requestMax/],
    ['rebuild', { rebuild: true }, /rebuild: expected a function/],
    ['docs', { docs: '/errors' }, /docs: expected an absolute/],
    ['docs that is a script', { docs: 'javascript:alert(1)' }, /docs/],
    ['strictHeader', { strictHeader: 'yes' }, /strictHeader: expected false or true/],
    ['storeUnavailable', { storeUnavailable: 'open' }, /storeUnavailable/],
    ['retention', { retention: '1 day' }, /retention/],
    ['storeHeaders', { storeHeaders: ['Set-Cookie'] }, /never stored/],
  ])('%s', (_, wrong, message) => {
    expect(() => routeOf({ ...good, ...wrong })).toThrow(message)
    expect(() => routeOf({ ...good, ...wrong })).toThrow(ConfigError)
  })

  test('no options at all', () =>
    expect(() => routeOf(undefined as never)).toThrow(/options: expected/))
})

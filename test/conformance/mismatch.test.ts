/** Conformance 19–25: a key names one request; another one under it is refused and changes nothing. */
import { describe, expect, test } from 'vitest'
import { effect, FRAMEWORKS, gate, rideHandler, setup } from '../support/app.ts'
import { multipart } from '../support/http-client.ts'

const body = { to: 'Oslo' }
const other = { to: 'Rome' }

describe.each(FRAMEWORKS)('%s', (framework) => {
  /** Goal: a changed payload never destroys the first answer. Method: finish, send another body, then the first again. */
  test('19 · same key, other payload, after completion → 422, handler not run, first record intact', async () => {
    const app = await setup({ framework, handler: rideHandler })
    const first = await app.send({ key: 'k', body })
    const before = await app.record('k')
    expect(await app.send({ key: 'k', body: other })).toMatchProblem({
      status: 422,
      code: 'payload_mismatch',
    })
    expect(await app.record('k')).toEqual(before)
    expect(app.count()).toBe(1)
    expect(await app.send({ key: 'k', body })).toReplay(first)
  })

  test('19 · the problem holds nothing of the first request', async () => {
    const app = await setup({ framework, handler: rideHandler })
    const key = 'a-key-nobody-may-read'
    await app.send({ key, body: { to: 'a-secret-place' } })
    const refused = await app.send({ key, body: other })
    const told = JSON.stringify([refused.rawHeaders, refused.text()])
    expect(told).not.toContain('a-secret-place')
    expect(told).not.toContain('ride-')
    expect(told).not.toContain(key)
    expect(told).not.toContain(app.scope)
  })

  test('20 · the same while in flight → 422 wins over 409', async () => {
    const running = gate()
    const app = await setup({
      framework,
      handler: async (request, run) => {
        await running.pass()
        return await rideHandler(request, run)
      },
    })
    const first = app.send({ key: 'k', body })
    await running.reached
    expect(await app.send({ key: 'k', body: other })).toMatchProblem({
      status: 422,
      code: 'payload_mismatch',
    })
    expect(await app.send({ key: 'k', body })).toMatchProblem({ status: 409, code: 'in_progress' })
    running.open()
    expect((await first).status).toBe(201)
    expect(app.count()).toBe(1)
  })

  test('20 · and after a failed attempt: what was committed belongs to the first payload', async () => {
    const app = await setup({
      framework,
      handler: async (request, run) => {
        await run.stage('one', async (tx) => effect(tx, run, 'one'))
        if (request.count === 1) throw new Error('boom')
        return await run.finish(() => ({ status: 201, body: request.body }))
      },
    })
    expect((await app.send({ key: 'k', body })).status).toBe(500)
    expect(await app.send({ key: 'k', body: other })).toMatchProblem({
      status: 422,
      code: 'payload_mismatch',
    })
    const second = await app.send({ key: 'k', body })
    expect([second.status, second.json()]).toEqual([201, body])
    expect(await app.effects('k')).toHaveLength(1)
  })

  const SENT = '{"a":1,"b":{"x":"a","y":[1,2,null]},"c":"ø"}'
  test.each([
    ['reordered members', '{"c":"ø","b":{"y":[1,2,null],"x":"a"},"a":1}'],
    ['other whitespace', '{\n\t"a" : 1,\r\n"b": { "x":"a" , "y":[ 1, 2, null ] }, "c":"ø" }\n'],
    ['1.0 for 1', SENT.replace('"a":1', '"a":1.0')],
    ['1e0 for 1', SENT.replace('"a":1', '"a":1e0')],
    ['an escape for a letter', SENT.replace('"x":"a"', String.raw`"x":"\u0061"`)],
    ['an escape for ø', SENT.replace('ø', String.raw`\u00f8`)],
    ['an escape in a name', SENT.replace('"a":1', String.raw`"\u0061":1`)],
  ])('21 · JSON with %s → replay', async (_, again) => {
    const app = await setup({ framework, handler: rideHandler })
    const first = await app.send({ key: 'k', body: SENT })
    expect(first.status).toBe(201)
    expect(await app.send({ key: 'k', body: again })).toReplay(first)
  })

  test.each([
    ['another number', '{"a":1}', '{"a":2}'],
    ['a string for a number', '{"a":1}', '{"a":"1"}'],
    ['null for nothing', '{}', '{"a":null}'],
    ['false for 0', '{"a":0}', '{"a":false}'],
    ['another order in an array', '{"a":[1,2]}', '{"a":[2,1]}'],
    ['an array for one', '{"a":1}', '{"a":[1]}'],
    ['another case', '{"a":"x"}', '{"a":"X"}'],
    ['composed and decomposed', '{"a":"\u00e9"}', '{"a":"e\u0301"}'],
    ['a member more', '{"a":1}', '{"a":1,"b":1}'],
    ['an object for an array', '{"a":[]}', '{"a":{}}'],
    ['a blank in a string', '{"a":"x"}', '{"a":"x "}'],
    ['no body at all', '{"a":1}', ''],
  ])('21 · JSON with %s → 422', async (_, sent, again) => {
    const app = await setup({
      framework,
      handler: (_request, run) => run.finish(() => ({ status: 201 })),
    })
    expect((await app.send({ key: 'k', body: sent })).status).toBe(201)
    expect(await app.send({ key: 'k', body: again === '' ? undefined : again })).toMatchProblem({
      status: 422,
      code: 'payload_mismatch',
    })
    expect(app.count()).toBe(1)
  })

  const FILE = Buffer.from([0, 255, 13, 10, 45, 45, 128])
  const PARTS = [
    { name: 'to', value: 'Oslo' },
    { name: 'photo', value: FILE, file: 'a.bin', type: 'application/octet-stream' },
  ] as const
  /** Multipart and queries: the handler has no business with the body. */
  const accepting = () =>
    setup({ framework, handler: (_, run) => run.finish(() => ({ status: 201, body: 'ok' })) })

  test('22 · multipart with another boundary, same parts → replay', async () => {
    const app = await accepting()
    const first = await app.send({ key: 'k', ...multipart('one', PARTS) })
    expect(first.status).toBe(201)
    expect(await app.send({ key: 'k', ...multipart('----another', PARTS) })).toReplay(first)
    expect(app.count()).toBe(1)
  })

  test.each([
    ['another value', [{ ...PARTS[0], value: 'Rome' }, PARTS[1]]],
    ['other bytes', [PARTS[0], { ...PARTS[1], value: Buffer.from([0]) }]],
    ['another file name', [PARTS[0], { ...PARTS[1], file: 'b.bin' }]],
    ['another type', [PARTS[0], { ...PARTS[1], type: 'image/png' }]],
    ['a part less', [PARTS[0]]],
    ['the parts in another order', [PARTS[1], PARTS[0]]],
    ['a field for a file', [PARTS[0], { name: 'photo', value: FILE }]],
  ])('22 · multipart with %s → 422', async (_, parts) => {
    const app = await accepting()
    expect((await app.send({ key: 'k', ...multipart('one', PARTS) })).status).toBe(201)
    expect(await app.send({ key: 'k', ...multipart('one', parts) })).toMatchProblem({
      status: 422,
      code: 'payload_mismatch',
    })
  })

  test('22 · query order → equal; other query value → 422', async () => {
    const app = await accepting()
    const first = await app.send({ key: 'k', body, path: '/rides?a=1&b=x%20y&a=2' })
    expect(first.status).toBe(201)
    for (const path of [
      '/rides?b=x%20y&a=1&a=2',
      '/rides?a=1&a=2&b=x+y',
      '/rides?%61=1&a=2&b=x%20y',
    ])
      expect(await app.send({ key: 'k', body, path })).toReplay(first)
    for (const path of [
      '/rides?a=1&b=x%20z&a=2',
      '/rides?a=2&a=1&b=x%20y',
      '/rides?a=1&b=x%20y',
      '/rides?a=1&b=x%20y&a=2&c=',
      '/rides',
      '/other?a=1&b=x%20y&a=2',
    ])
      expect(await app.send({ key: 'k', body, path })).toMatchProblem({
        status: 422,
        code: 'payload_mismatch',
      })
    expect(app.count()).toBe(1)
  })

  test('22 · another method, another media type → 422', async () => {
    const app = await accepting()
    const text = { 'content-type': 'text/plain' }
    expect((await app.send({ key: 'k', body: '{}', headers: text })).status).toBe(201)
    expect(await app.send({ key: 'k', body: '{}' })).toMatchProblem({
      status: 422,
      code: 'payload_mismatch',
    })
    expect(await app.send({ key: 'k', method: 'PATCH', body: '{}', headers: text })).toMatchProblem(
      { status: 422, code: 'payload_mismatch' },
    )
  })

  test('22 · other bytes of another type → 422; the same bytes → replay', async () => {
    const app = await accepting()
    const headers = { 'content-type': 'application/x-protobuf' }
    const first = await app.send({ key: 'k', body: FILE, headers })
    expect(await app.send({ key: 'k', body: FILE, headers })).toReplay(first)
    expect(await app.send({ key: 'k', body: FILE.subarray(1), headers })).toMatchProblem({
      status: 422,
      code: 'payload_mismatch',
    })
  })

  test('23 · the same key for another operation → a separate record', async () => {
    const rides = await setup({ framework, handler: rideHandler })
    const refunds = await setup({
      framework,
      handler: rideHandler,
      scope: rides.scope,
      options: { operation: 'refund-ride' },
    })
    const ride = await rides.send({ key: 'k', body })
    const refund = await refunds.send({ key: 'k', body: other })
    expect([ride.status, refund.status]).toEqual([201, 201])
    expect(refund.headers['idempotent-replayed']).toBeUndefined()
    expect(await rides.send({ key: 'k', body })).toReplay(ride)
    expect(await refunds.send({ key: 'k', body: other })).toReplay(refund)
    expect(await rides.records()).toHaveLength(2)
  })

  test('24 · another key, the same payload → both execute', async () => {
    const app = await setup({ framework, handler: rideHandler })
    const replies = [await app.send({ key: 'one', body }), await app.send({ key: 'two', body })]
    expect(replies.map(({ status }) => status)).toEqual([201, 201])
    expect(replies[0]?.text()).not.toBe(replies[1]?.text())
    expect(app.count()).toBe(2)
  })

  test.each([400, 409, 422] as const)(
    '25 · a mismatch answered with %i',
    async (mismatchStatus) => {
      const app = await setup({ framework, handler: rideHandler, options: { mismatchStatus } })
      await app.send({ key: 'k', body })
      expect(await app.send({ key: 'k', body: other })).toMatchProblem({
        status: mismatchStatus,
        code: 'payload_mismatch',
      })
    },
  )
})

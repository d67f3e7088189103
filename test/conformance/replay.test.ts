/** Conformance 11–18 and 46: what the first caller gets, and what everybody gets who asks again. */
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { Draft } from '../../src/index.ts'
import { effect, FRAMEWORKS, gate, type PlainHandler, rideHandler, setup } from '../support/app.ts'
import type { Reply } from '../support/http-client.ts'

const body = { to: 'Oslo' }
const BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))

/** What a response says of its message, not of what it is about. */
const OF_THE_MESSAGE = new Set(['date', 'connection', 'keep-alive', 'transfer-encoding'])

function linesOf(reply: Reply): string[] {
  return reply.rawHeaders.flatMap((name, at) =>
    at % 2 === 0 && !OF_THE_MESSAGE.has(name.toLowerCase())
      ? [`${name.toLowerCase()}: ${reply.rawHeaders[at + 1] ?? ''}`]
      : [],
  )
}

describe.each(FRAMEWORKS)('%s', (framework) => {
  const answering = (
    draft: Draft | (() => Draft),
    options: Parameters<typeof setup>[0]['options'] = {},
  ) =>
    setup({
      framework,
      options,
      handler: (_, run) => run.finish(() => (typeof draft === 'function' ? draft() : draft)),
    })

  /** Goal: nothing is added, lost or changed. Method: the same handler on a route without Pawl. */
  test('11 · first → status, headers and body untouched; no Idempotent-Replayed', async () => {
    const headers: readonly (readonly [string, string])[] = [
      ['Content-Type', 'application/vnd.ride+json; charset=utf-8'],
      ['Location', '/rides/1'],
      ['X-Ride', 'one'],
      ['Set-Cookie', 'a=1; Path=/'],
      ['Set-Cookie', 'b=2; Path=/'],
    ]
    const text = '{"a":1,\n "b": 1.0, "c":"\\u0061ø"}'
    const app = await setup({
      framework,
      plain: {
        express: (_, res) => {
          res.statusCode = 203
          for (const [name, value] of headers) res.appendHeader(name, value)
          res.end(text)
        },
        fetch: () => new Response(text, { status: 203, headers: headers.map((one) => [...one]) }),
      },
    })
    const bare = await app.send({ path: '/bare', body })
    const first = await app.send({ key: 'k', body })
    expect(bare.status).toBe(203)
    expect(first.status).toBe(203)
    expect(first.body).toEqual(bare.body)
    expect(linesOf(first)).toEqual(linesOf(bare))
    expect(first.headers['set-cookie']).toHaveLength(2)
    expect(first.headers['idempotent-replayed']).toBeUndefined()
    expect(await app.send({ key: 'k', body })).toReplay(first)
  })

  test('12 · same key and payload after completion → same status, same bytes, handler count unchanged', async () => {
    const app = await setup({ framework, handler: rideHandler })
    const first = await app.send({ key: 'k', body })
    expect(first.status).toBe(201)
    expect(first.headers['idempotent-replayed']).toBeUndefined()
    for (let times = 0; times < 3; times++)
      expect(await app.send({ key: 'k', body })).toReplay(first)
    expect(app.count()).toBe(1)
    expect((await app.effects('k')).map(({ stage }) => stage)).toEqual(['ride_created', 'receipt'])
    expect((await app.seen('replayed')).status).toBe(201)
  })

  test('13 · 402 declined → the retry gets the 402, marked as a replay', async () => {
    const app = await answering({ status: 402, body: { error: 'card_declined' } })
    const first = await app.send({ key: 'k', body })
    expect(first.status).toBe(402)
    expect(await app.send({ key: 'k', body })).toReplay(first)
    expect(app.count()).toBe(1)
  })

  /** Goal: a failed attempt costs nothing that was committed. Method: the first attempt fails behind its stage. */
  test.each(['throws', 'returns 503'])(
    '14 · onError: resume; the handler %s → the retry continues behind the committed stage',
    async (how) => {
      const app = await setup({
        framework,
        handler: async ({ count }, run) => {
          const { id } = await run.stage('ride_created', async (tx) => {
            await effect(tx, run, 'ride_created')
            return { id: `ride-${count}` }
          })
          if (count === 1 && how === 'throws') throw new Error('boom')
          if (count === 1) return { status: 503, body: { error: 'busy' } }
          return await run.finish(async (tx) => {
            await effect(tx, run, 'receipt')
            return { status: 201, body: { id } }
          })
        },
      })
      const failed = await app.send({ key: 'k', body })
      expect(failed.status).toBe(how === 'throws' ? 500 : 503)
      expect(await app.record('k')).toMatchObject({
        state: 'running',
        recovery_point: 'ride_created',
        owner: null,
      })
      const second = await app.send({ key: 'k', body })
      expect([second.status, second.json()]).toEqual([201, { id: 'ride-1' }])
      expect(second.headers['idempotent-replayed']).toBeUndefined()
      expect(await app.send({ key: 'k', body })).toReplay(second)
      expect(await app.effects('k')).toMatchObject([
        { stage: 'ride_created', attempt: 1 },
        { stage: 'receipt', attempt: 2 },
      ])
    },
  )

  test('14 · onError: resume; a failure before any stage → the retry runs', async () => {
    const app = await setup({
      framework,
      handler: async (request, run) => {
        if (request.count === 1) throw Object.assign(new Error('teapot'), { status: 418 })
        return await rideHandler(request, run)
      },
    })
    expect((await app.send({ key: 'k', body })).status).toBe(418)
    const second = await app.send({ key: 'k', body })
    expect(second.status).toBe(201)
    expect(await app.send({ key: 'k', body })).toReplay(second)
  })

  test.each(['throws', 'returns 503'])(
    '14 · onError: store; the handler %s → the same response is replayed',
    async (how) => {
      const app = await setup({
        framework,
        options: { onError: 'store' },
        handler: async ({ count }) => {
          if (how === 'throws') throw new Error(`boom ${count}`)
          return { status: 503, body: { count } }
        },
      })
      const first = await app.send({ key: 'k', body })
      expect(first.status).toBe(how === 'throws' ? 500 : 503)
      expect(await app.send({ key: 'k', body })).toReplay(first)
      expect(app.count()).toBe(1)
    },
  )

  test.each([400, 401, 403, 429])(
    '15 · a %i before the handler → not stored; the same key later executes',
    async (status) => {
      let refusing = true
      const app = await setup({
        framework,
        handler: rideHandler,
        before: () => (refusing ? { status, body: { error: 'no' } } : undefined),
      })
      expect((await app.send({ key: 'k', body })).status).toBe(status)
      expect(await app.records()).toEqual([])
      refusing = false
      const first = await app.send({ key: 'k', body })
      expect(first.status).toBe(201)
      expect(first.headers['idempotent-replayed']).toBeUndefined()
    },
  )

  test('15 · a 409 for a duplicate is not stored: the same key later gets the outcome', async () => {
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
    const before = await app.record('k')
    expect((await app.send({ key: 'k', body })).status).toBe(409)
    expect(await app.record('k')).toEqual(before)
    running.open()
    const done = await first
    expect(await app.send({ key: 'k', body })).toReplay(done)
  })

  test('16 · Location, ETag, Content-Type, Content-Encoding are replayed; Set-Cookie, Date, hop-by-hop, Content-Length never from the store', async () => {
    const zipped = gzipSync('{"ride":1}')
    const app = await answering({
      status: 201,
      headers: {
        'Content-Type': 'application/json',
        'Content-Encoding': 'gzip',
        ETag: '"abc"',
        Location: '/rides/1',
        'Set-Cookie': ['session=secret', 'b=2'],
        'WWW-Authenticate': 'Basic',
        'X-Request-Id': 'first-only',
        Date: 'Thu, 01 Jan 1970 00:00:00 GMT',
      },
      body: zipped,
    })
    const first = await app.send({ key: 'k', body })
    expect(first.body).toEqual(zipped)
    expect(first.headers['set-cookie']).toEqual(['session=secret', 'b=2'])
    const again = await app.send({ key: 'k', body })
    expect(again).toReplay(first)
    expect(again.headers).toMatchObject({
      'content-type': 'application/json',
      'content-encoding': 'gzip',
      etag: '"abc"',
      location: '/rides/1',
      'content-length': String(zipped.length),
    })
    for (const name of ['set-cookie', 'www-authenticate', 'x-request-id'])
      expect(again.headers[name]).toBeUndefined()
    expect(again.headers['date']).not.toBe('Thu, 01 Jan 1970 00:00:00 GMT')
    const column = (await app.record('k'))?.['response_headers']
    const stored = (typeof column === 'string' ? JSON.parse(column) : column) as [string, string][]
    expect(stored.map(([name]) => name).sort()).toEqual([
      'content-encoding',
      'content-type',
      'etag',
      'location',
    ])
    expect(JSON.stringify(await app.record('k'))).not.toContain('secret')
  })

  test('16 · what stands in the table by hand is filtered again', async () => {
    const app = await answering({ status: 201, body: 'x' })
    await app.send({ key: 'k', body })
    const forged = [
      ['set-cookie', 'session=stolen'],
      ['transfer-encoding', 'chunked'],
      ['content-length', '999'],
      ['content-type', 'text/x'],
    ]
    await app.database.query(
      `update idempotency_key set response_headers = ${app.database.words.json('$1')} where scope like $2`,
      [JSON.stringify(forged), `${app.scope}/%`],
    )
    const again = await app.send({ key: 'k', body })
    expect(again.headers['set-cookie']).toBeUndefined()
    expect(again.headers['transfer-encoding']).toBeUndefined()
    expect(again.headers['content-type']).toBe('text/x')
    expect(again.text()).toBe('x')
  })

  test('16 · 204 → empty, both times', async () => {
    const app = await answering({ status: 204 })
    const first = await app.send({ key: 'k', body })
    expect([first.status, first.body.length]).toEqual([204, 0])
    expect(first.headers['content-type']).toBeUndefined()
    const again = await app.send({ key: 'k', body })
    expect(again).toReplay(first)
    expect(again.headers['transfer-encoding']).toBeUndefined()
  })

  test('16 · a handler that returns nothing → 204, both times', async () => {
    const app = await setup({ framework, handler: () => undefined })
    const first = await app.send({ key: 'k', body })
    expect([first.status, first.body.length]).toEqual([204, 0])
    expect(await app.send({ key: 'k', body })).toReplay(first)
  })

  test('16 · binary → identical bytes, for the first caller too', async () => {
    const app = await answering({
      headers: { 'content-type': 'application/octet-stream' },
      body: BYTES,
    })
    const first = await app.send({ key: 'k', body })
    expect(first.body).toEqual(BYTES)
    const again = await app.send({ key: 'k', body })
    expect(again.body).toEqual(BYTES)
    expect(again).toReplay(first)
  })

  test('16 · a type that the body brings along is replayed', async () => {
    const app = await setup({
      framework,
      plain: {
        express: (_, res) => res.type('png').append('X-Ride', 'one').send(BYTES),
        fetch: () =>
          new Response(new Blob([BYTES], { type: 'image/png' }), { headers: { 'x-ride': 'one' } }),
      },
    })
    const first = await app.send({ key: 'k', body })
    expect(first.headers['content-type']).toBe('image/png')
    expect(await app.send({ key: 'k', body })).toReplay(first)
  })

  test('17 · the resource changed since → the old body by default', async () => {
    let fare = 90
    const app = await answering(() => ({ status: 201, body: { fare } }))
    const first = await app.send({ key: 'k', body })
    fare = 120
    const again = await app.send({ key: 'k', body })
    expect(again).toReplay(first)
    expect(again.json()).toEqual({ fare: 90 })
  })

  test('17 · rebuild gives the current state, marked as a replay', async () => {
    let fare = 90
    const app = await answering(() => ({ status: 201, body: { fare } }), {
      rebuild: ({ outcome }) => ({ status: outcome.status, body: { fare } }),
    })
    await app.send({ key: 'k', body })
    fare = 120
    const again = await app.send({ key: 'k', body })
    expect([again.status, again.json()]).toEqual([201, { fare: 120 }])
    expect(again.headers['idempotent-replayed']).toBe('true')
    expect(app.count()).toBe(1)
  })

  test('18 · a response over the limit → the first caller gets it whole; the retry is told so, with Location', async () => {
    const whole = 'x'.repeat(1_001)
    const app = await answering(
      { status: 201, headers: { location: '/rides/1' }, body: whole },
      { responseMax: 1_000 },
    )
    const first = await app.send({ key: 'k', body })
    expect([first.status, first.text()]).toEqual([201, whole])
    const again = await app.send({ key: 'k', body })
    expect(again).toMatchProblem({ status: 409, code: 'response_not_stored' })
    expect(again.headers['location']).toBe('/rides/1')
    expect(again.headers['retry-after']).toBeUndefined()
    expect(app.count()).toBe(1)
    expect(await app.record('k')).toMatchObject({ state: 'finished', response_body: null })
  })

  test('18 · a response of just the limit is replayed', async () => {
    const app = await answering({ status: 201, body: 'x'.repeat(1_000) }, { responseMax: 1_000 })
    const first = await app.send({ key: 'k', body })
    expect(await app.send({ key: 'k', body })).toReplay(first)
  })

  const CHUNKS = Array.from({ length: 40 }, (_, at) => `data: ${String(at).repeat(50)}\n\n`)

  /** In pieces, with a turn of the loop between them. */
  function streaming(headers: Readonly<Record<string, string>>): PlainHandler {
    return {
      express: async (_, res) => {
        for (const [name, value] of Object.entries(headers)) res.setHeader(name, value)
        for (const chunk of CHUNKS) {
          if (!res.write(chunk)) await new Promise((drained) => res.once('drain', drained))
          await new Promise((turn) => setImmediate(turn))
        }
        res.end()
      },
      fetch: () => {
        const chunks = CHUNKS.values()
        const stream = new ReadableStream<Uint8Array>({
          pull: async (controller) => {
            await new Promise((turn) => setImmediate(turn))
            const next = chunks.next()
            if (next.done === true) controller.close()
            else controller.enqueue(Buffer.from(next.value))
          },
        })
        return new Response(stream, { headers: { ...headers } })
      },
    }
  }

  test.each([
    ['an event stream', { 'content-type': 'text/event-stream' }, 262_144],
    ['a stream over the limit', { 'content-type': 'text/plain', location: '/rides/1' }, 500],
  ])(
    '18 · %s → passes whole, is stored without its body, never executed again',
    async (_, headers, responseMax) => {
      const app = await setup({
        framework,
        plain: streaming(headers),
        options: { responseMax },
      })
      const first = await app.send({ key: 'k', body })
      expect([first.status, first.text()]).toEqual([200, CHUNKS.join('')])
      const again = await app.send({ key: 'k', body })
      expect(again).toMatchProblem({ status: 409, code: 'response_not_stored' })
      expect(again.headers['location']).toBe((headers as Record<string, string>)['location'])
      expect(app.count()).toBe(1)
    },
  )

  test('18 · a stream under the limit is replayed', async () => {
    const app = await setup({ framework, plain: streaming({ 'content-type': 'text/plain' }) })
    const first = await app.send({ key: 'k', body })
    expect(first.text()).toBe(CHUNKS.join(''))
    expect(await app.send({ key: 'k', body })).toReplay(first)
    expect(app.count()).toBe(1)
  })

  test('46 · rights revoked between first call and retry → 403, no replay', async () => {
    let revoked = false
    const app = await setup({
      framework,
      handler: rideHandler,
      before: () => (revoked ? { status: 403, body: { error: 'revoked' } } : undefined),
    })
    const first = await app.send({ key: 'k', body })
    revoked = true
    const refused = await app.send({ key: 'k', body })
    expect(refused.status).toBe(403)
    expect(refused.headers['idempotent-replayed']).toBeUndefined()
    expect(refused.text()).not.toContain('ride-')
    revoked = false
    expect(await app.send({ key: 'k', body })).toReplay(first)
  })
})

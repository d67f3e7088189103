/**
 * Goal: the order of things around an Express handler: bodies, errors, finishes, hang-ups, streams. Method: real apps
 * on Express 4 and 5 over loopback, one behaviour a test.
 */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { PGlite } from '@electric-sql/pglite'
import express from 'express'
import express4 from 'express4'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createIdempotency, currentRun, type PawlEvent } from '../../../src/index.ts'
import { pgliteStore } from '../../../src/databases/pglite.ts'
import { idempotent } from '../../../src/frameworks/express.ts'

const db = new PGlite()
const events: PawlEvent[] = []
const idempotency = createIdempotency({ store: pgliteStore(db), onEvent: (e) => events.push(e) })
const servers: Server[] = []

beforeAll(async () => {
  await pgliteStore(db).migrate()
})
afterEach(() => {
  events.length = 0
  for (const server of servers.splice(0)) server.close().closeAllConnections()
})
afterAll(async () => {
  await idempotency.close()
  await db.close()
})

async function listen(app: express.Express): Promise<string> {
  const server = createServer(app)
  servers.push(server)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

let last = 0
function post(url: string, init: RequestInit & { key?: string } = {}): Promise<Response> {
  const { key = `key-${++last}`, ...rest } = init
  const headers = new Headers(rest.headers)
  if (key !== '') headers.set('idempotency-key', key)
  if (typeof rest.body === 'string' && !headers.has('content-type'))
    headers.set('content-type', 'application/json')
  return fetch(url, { method: 'POST', ...rest, headers })
}

async function raw(url: string, text: string): Promise<{ socket: Socket; all: Promise<string> }> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  await once(socket, 'connect')
  socket.write(text)
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  socket.on('error', () => undefined)
  return { socket, all: once(socket, 'close').then(() => Buffer.concat(chunks).toString()) }
}

const seen = async (type: PawlEvent['type']): Promise<PawlEvent> => {
  for (let tries = 0; tries < 200; tries++) {
    const event = events.find((one) => one.type === type)
    if (event) return event
    await sleep(10)
  }
  throw new Error(`no event ${type}; got ${events.map((e) => e.type).join()}`)
}

describe.each([
  ['Express 5', express],
  ['Express 4', express4],
])('%s', (version, lib) => {
  const operation = version.replace(' ', '-')
  const options = { operation, scope: 'public' } as const

  test.each([
    ['before', true],
    ['behind', false],
  ])(
    '21 · a JSON parser mounted %s: same bytes, same parsed body, one fingerprint',
    async (_, isBefore) => {
      const app = lib()
      if (isBefore) app.use(lib.json())
      app.post('/', idempotent(idempotency, options), lib.json(), (req, res) => {
        res.json({ got: req.body, run: currentRun().id })
      })
      const url = await listen(app)
      const key = `shared-${operation}-${isBefore ? 'a' : 'b'}`
      const first = await post(url, { key, body: '{"a":1,"b":[2]}' })
      const text = await first.text()
      expect(JSON.parse(text)).toMatchObject({ got: { a: 1, b: [2] } })
      const again = await post(url, { key, body: '{ "b": [2.0], "a": 1 }' })
      expect(again.headers.get('idempotent-replayed')).toBe('true')
      expect(await again.text()).toBe(text)
      expect((await post(url, { key, body: '{"a":1,"b":[3]}' })).status).toBe(422)
    },
  )

  test('21 · a parser before and a parser behind agree on JSON and on forms', async () => {
    const before = lib().use(lib.json(), lib.urlencoded({ extended: true }))
    const behind = lib()
    for (const app of [before, behind])
      app.post(
        '/',
        idempotent(idempotency, options, () => ({ status: 201, body: 'done' })),
      )
    const urls = [await listen(before), await listen(behind)] as const
    const form = { 'content-type': 'application/x-www-form-urlencoded' }
    for (const [body, headers] of [
      ['{"a":{"b":1e3},"c":"\\u0061"}', {}],
      ['a=1&b=x+y&c[d]=%C3%B8&e=1&e=2', form],
      ['', {}],
    ] as const) {
      const key = `agree-${operation}-${body.length}`
      expect((await post(urls[0], { key, body, headers })).status).toBe(201)
      const again = await post(urls[1], { key, body, headers })
      expect([again.status, again.headers.get('idempotent-replayed')]).toEqual([201, 'true'])
    }
  })

  test('a raw body is read by whoever comes next: parser, stream, nobody', async () => {
    const app = lib()
    const guard = idempotent(idempotency, options)
    app.post('/stream', guard, async (req, res) => {
      let size = 0
      for await (const chunk of req) size += (chunk as Buffer).length
      res.json({ size })
    })
    app.post('/pipe', guard, (req, res) => void req.pipe(res))
    app.post('/nobody', guard, (_req, res) => void res.json({ size: -1 }))
    const url = await listen(app)
    const body = 'x'.repeat(300_000)
    expect(await (await post(`${url}/stream`, { body })).json()).toEqual({ size: body.length })
    expect((await (await post(`${url}/pipe`, { body })).text()).length).toBe(body.length)
    expect(await (await post(`${url}/nobody`, { body })).json()).toEqual({ size: -1 })
  })

  test.each([
    ['chunked and empty', 'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['no body at all', '\r\n'],
    ['Content-Length: 0', 'Content-Length: 0\r\n\r\n'],
    ['chunked', 'Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n'],
  ])('a body that is %s reaches a parser behind, and does not hang', async (name, rest) => {
    const app = lib()
    app.post('/', idempotent(idempotency, options), lib.json(), (req, res) => {
      res.json({ got: req.body ?? null })
    })
    const url = await listen(app)
    const { all } = await raw(
      url,
      `POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n` +
        `Idempotency-Key: ${operation}-${name.replaceAll(/\W/g, '-')}\r\n${rest}`,
    )
    expect(await all).toContain('"got":')
  })

  test('chunked and empty, its end arriving late, does not hang', async () => {
    const app = lib()
    app.post('/', idempotent(idempotency, options), lib.json(), (req, res) => {
      res.json({ got: req.body ?? null })
    })
    const url = await listen(app)
    const { socket, all } = await raw(
      url,
      `POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n` +
        `Idempotency-Key: ${operation}-late\r\nTransfer-Encoding: chunked\r\n\r\n`,
    )
    await sleep(30)
    socket.write('0\r\n\r\n')
    expect(await all).toContain('"got":')
  })

  test('a body in two packets is put together', async () => {
    const app = lib()
    app.post(
      '/',
      idempotent(idempotency, options),
      lib.json(),
      (req, res) => void res.json(req.body),
    )
    const url = await listen(app)
    const { socket, all } = await raw(
      url,
      `POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n` +
        `Idempotency-Key: ${operation}-two\r\nContent-Length: 7\r\n\r\n{"a"`,
    )
    await sleep(30)
    socket.write(':1}')
    expect(await all).toContain('{"a":1}')
  })

  test('a body over requestMax is 413, and the connection stays usable', async () => {
    const app = lib()
    let runs = 0
    const guard = idempotent(idempotency, { ...options, requestMax: 10 }, () => void runs++)
    app.post('/', guard)
    const url = await listen(app)
    const long = await post(url, { body: '"0123456789"' })
    expect(await long.json()).toMatchObject({ code: 'body_too_large', status: 413 })
    const streamed = await post(url, {
      body: Readable.toWeb(Readable.from([Buffer.alloc(200_000)])) as ReadableStream,
      duplex: 'half',
    })
    expect(streamed.status).toBe(413)
    expect((await post(url, { body: '"01234"' })).status).toBe(204)
    expect(runs).toBe(1)
  })

  test('a body that was consumed and is gone is the programmer’s to mend', async () => {
    const app = lib()
    app.use((req, _res, next) => void req.resume().on('end', next))
    app.post(
      '/',
      idempotent(idempotency, options, () => ({ body: 'x' })),
    )
    app.use((error: Error, _: unknown, res: express.Response, _n: unknown) => {
      res.status(500).send(error.message)
    })
    const answer = await post(await listen(app), { body: '{"a":1}' })
    expect(await answer.text()).toMatch(/mount idempotent\(\) before .* option fingerprint/)
  })

  test('a handler’s own response; what it throws goes to the error handler and a retry runs again', async () => {
    const app = lib()
    let runs = 0
    app.post(
      '/',
      idempotent(idempotency, options, async (_req, run) => {
        await run.stage('counted', () => ++runs)
        if (run.attempt === 1) throw new Error('first')
        return {
          status: 201,
          headers: { 'set-cookie': ['a=1', 'b=2'], location: '/r' },
          body: { runs },
        }
      }),
    )
    app.use((error: Error, _: unknown, res: express.Response, _n: unknown) => {
      res.status(500).send(error.message)
    })
    const url = await listen(app)
    const key = `own-${operation}`
    expect(await (await post(url, { key })).text()).toBe('first')
    const second = await post(url, { key })
    expect([second.status, await second.json()]).toEqual([201, { runs: 1 }])
    expect(second.headers.getSetCookie()).toEqual(['a=1', 'b=2'])
    const third = await post(url, { key })
    expect(third.headers.get('idempotent-replayed')).toBe('true')
    expect(third.headers.getSetCookie()).toEqual([])
    expect(third.headers.get('location')).toBe('/r')
  })

  test('a handler that throws nothing at all: an error, and not the next route', async () => {
    const app = lib()
    const nothing = idempotent(idempotency, options, () => Promise.reject(undefined as never))
    app.post('/', nothing, (_req, res) => void res.send('the next route'))
    app.use((error: Error, _: unknown, res: express.Response, _n: unknown) => {
      res.status(500).send(error.message)
    })
    expect((await post(await listen(app))).status).toBe(500)
  })

  test('14 · onError store: the error handler’s own response is stored and replayed', async () => {
    const app = lib()
    let runs = 0
    app.post(
      '/',
      idempotent(idempotency, { ...options, onError: 'store' }, () => {
        runs++
        throw new Error('broken')
      }),
    )
    app.use((error: Error, _: unknown, res: express.Response, _n: unknown) => {
      res.status(503).json({ mine: error.message, runs })
    })
    const url = await listen(app)
    const key = `stored-${operation}`
    const first = await post(url, { key })
    expect([first.status, await first.json()]).toEqual([503, { mine: 'broken', runs: 1 }])
    const again = await post(url, { key })
    expect([again.status, await again.json()]).toEqual([503, { mine: 'broken', runs: 1 }])
    expect(again.headers.get('idempotent-replayed')).toBe('true')
    expect(runs).toBe(1)
  })

  test('run.finish in a middleware route sends the finished response; what comes after is not heard', async () => {
    const app = lib()
    const guard = idempotent(idempotency, options)
    app.post('/quiet', guard, async (_req, res) => {
      res.setHeader('x-mine', '1')
      await currentRun().finish(() => ({ status: 202, body: { by: 'finish' } }))
    })
    app.post('/loud', guard, async (_req, res) => {
      await currentRun().finish(() => ({ status: 202, body: { by: 'finish' } }))
      res.status(500).json({ by: 'handler' })
      await sleep(20)
      res.json({ by: 'handler, late' })
    })
    const url = await listen(app)
    for (const path of ['/quiet', '/loud']) {
      const key = `finish-${operation}`
      const first = await post(url + path, { key: key + path.slice(1) })
      expect([first.status, await first.json()]).toEqual([202, { by: 'finish' }])
      expect(first.headers.get('x-mine')).toBe(path === '/quiet' ? '1' : null)
      await sleep(30)
      const again = await post(url + path, { key: key + path.slice(1) })
      expect(await again.json()).toEqual({ by: 'finish' })
    }
  })

  test('7 · no key: allowed, the middleware route streams unheld and finish still answers', async () => {
    const app = lib()
    const guard = idempotent(idempotency, { ...options, missing: 'allow' })
    app.post('/json', guard, (_req, res) => void res.json({ protected: currentRun().protected }))
    app.post('/finish', guard, async () => {
      await currentRun().finish(() => ({ body: { by: 'finish' } }))
    })
    const url = await listen(app)
    expect(await (await post(`${url}/json`, { key: '' })).json()).toEqual({ protected: false })
    expect(await (await post(`${url}/finish`, { key: '' })).json()).toEqual({ by: 'finish' })
  })

  test('7 · no key: one is made, returned and exposed', async () => {
    const app = lib()
    const guard = idempotent(idempotency, { ...options, missing: 'generate' })
    app.use((_req, res, next) => {
      res.setHeader('access-control-expose-headers', 'X-Total')
      next()
    })
    app.post('/', guard, (_req, res) => void res.json({ key: currentRun().key }))
    const answer = await post(await listen(app), { key: '' })
    const { key } = (await answer.json()) as { key: string }
    expect(answer.headers.get('idempotency-key')).toBe(key)
    expect(answer.headers.get('access-control-expose-headers')).toBe('X-Total, Idempotency-Key')
  })

  test('a scope that gives nothing is an error of the application, and nothing runs', async () => {
    const app = lib()
    let runs = 0
    app.post(
      '/',
      idempotent(idempotency, { operation, scope: () => '' }, () => void runs++),
    )
    app.use((error: { code: string }, _: unknown, res: express.Response, _n: unknown) => {
      res.status(500).send(error.code)
    })
    expect(await (await post(await listen(app))).text()).toBe('scope_missing')
    expect(runs).toBe(0)
  })

  test('40 · a client that hangs up: the work goes on, the retry replays it', async () => {
    const app = lib()
    let runs = 0
    app.post('/', idempotent(idempotency, options), async (_req, res) => {
      runs++
      await sleep(150)
      await pipeline(Readable.from(['a'.repeat(1_000), 'b']), res)
    })
    const url = await listen(app)
    const key = `abort-${operation}`
    const head = `POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: ${key}\r\nContent-Length: 0\r\n\r\n`
    const { socket } = await raw(url, head)
    await sleep(50)
    socket.destroy()
    await seen('finished')
    const again = await post(url, { key })
    expect(await again.text()).toBe('a'.repeat(1_000) + 'b')
    expect(again.headers.get('idempotent-replayed')).toBe('true')
    expect(runs).toBe(1)
  })

  test('18 · an event stream: its outcome is stored without a body, then it flows', async () => {
    const app = lib()
    let runs = 0
    app.post('/', idempotent(idempotency, options), async (_req, res) => {
      runs++
      res.setHeader('content-type', 'text/event-stream')
      res.setHeader('location', '/events/1')
      res.flushHeaders()
      for (const part of ['one', 'two']) {
        res.write(`data: ${part}\n\n`)
        await sleep(20)
      }
      res.end()
    })
    const url = await listen(app)
    const key = `sse-${operation}`
    expect(await (await post(url, { key })).text()).toBe('data: one\n\ndata: two\n\n')
    const again = await post(url, { key })
    expect(await again.json()).toMatchObject({ code: 'response_not_stored', status: 409 })
    expect(again.headers.get('location')).toBe('/events/1')
    expect(runs).toBe(1)
  })

  test('18 · a long response is held back no further than the limit', async () => {
    const app = lib()
    const chunk = Buffer.alloc(64 * 1024)
    let made = 0
    let heldMost = 0
    app.post('/', idempotent(idempotency, options), (_req, res) => {
      const source = new Readable({
        read() {
          made++
          if (events.every(({ type }) => type !== 'finished')) heldMost = made
          this.push(made > 200 ? null : chunk)
        },
      })
      source.pipe(res)
    })
    const answer = await post(await listen(app), { key: `long-${operation}` })
    expect((await answer.arrayBuffer()).byteLength).toBe(200 * chunk.length)
    expect(heldMost).toBeLessThan(15)
  })

  test('late writes end as in node, not in a crash', async () => {
    const app = lib()
    const errors: string[] = []
    app.post('/', idempotent(idempotency, options), (_req, res) => {
      res.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code ?? ''))
      res.end('done')
      res.write('late', (error) => errors.push((error as NodeJS.ErrnoException).code ?? ''))
    })
    expect(await (await post(await listen(app))).text()).toBe('done')
    expect(errors).toEqual(['ERR_STREAM_WRITE_AFTER_END', 'ERR_STREAM_WRITE_AFTER_END'])
  })

  test('4 · two lines of the header are refused, the same key quoted is the same', async () => {
    const app = lib()
    app.post(
      '/',
      idempotent(idempotency, options, () => ({ body: 'x' })),
    )
    const url = await listen(app)
    const send = async (lines: string): Promise<string> =>
      (await raw(url, `POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${lines}\r\n\r\n`)).all
    expect(await send('Idempotency-Key: a\r\nIdempotency-Key: a')).toContain('"key_invalid"')
    const key = `quoted-${operation}`
    expect(await send(`Idempotency-Key: ${key}`)).not.toMatch(/replayed/i)
    expect(await send(`Idempotency-Key: "${key}"`)).toMatch(/idempotent-replayed: true/i)
  })

  test('6 · a missing key is told where to read about it', async () => {
    const app = lib()
    app.post(
      '/',
      idempotent(idempotency, options, () => ({ body: 'x' })),
    )
    const answer = await post(await listen(app), { key: '' })
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    expect(answer.headers.get('link')).toMatch(/datatracker.*rel="describedby"/)
    expect(Object.keys((await answer.json()) as object)).toEqual([
      'type',
      'title',
      'status',
      'detail',
      'code',
      'retryable',
      'safe_new_key',
    ])
  })
})

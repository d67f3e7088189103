/**
 * Goal: what is put around `res` is not seen by anybody. Method: the same handlers in two apps on Express 4 and 5, one
 * bare and one protected; the bytes on the wire must be equal, and the replay must hold the same body.
 */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip, gunzipSync } from 'node:zlib'
import { PGlite } from '@electric-sql/pglite'
import express from 'express'
import express4 from 'express4'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createIdempotency, type Idempotency } from '../../../src/core/idempotency.ts'
import { pgliteStore } from '../../../src/databases/pglite.ts'
import { idempotent } from '../../../src/frameworks/express.ts'

type Handler = (req: express.Request, res: express.Response, next: express.NextFunction) => unknown

const file = join(tmpdir(), `pawl-capture-${process.pid}.txt`)
const binary = Buffer.from(Array.from({ length: 4096 }, (_, index) => index % 256))
const long = Buffer.alloc(2_000_000, 'abcdefghij')

const handlers: Record<string, Handler> = {
  json: (_, res) => res.status(201).location('/rides/1').json({ id: 1, text: 'ø' }),
  send: (_, res) => res.send('<p>hello</p>'),
  'send a buffer': (_, res) => res.type('application/octet-stream').send(binary),
  empty: (_, res) => res.end(),
  'status 204': (_, res) => res.status(204).send('ignored'),
  'send 404': (_, res) => res.sendStatus(404),
  cookies: (_, res) => res.cookie('a', '1').cookie('b', '2').json({}),
  'end with text and no type': (_, res) => res.end('plain'),
  'end with encoding': (_, res) => res.end('f8', 'hex'),
  redirect: (_, res) => res.redirect(303, '/there'),
  chunked: (_, res) => {
    res.write('one ')
    res.write(Buffer.from('two '))
    setTimeout(() => res.end('three'), 5)
  },
  'writeHead with a message': (_, res) => {
    res.writeHead(202, 'Taken', { 'x-one': '1', 'set-cookie': ['a=1', 'b=2'] })
    res.end('taken')
  },
  'writeHead with a list': (_, res) => {
    for (const name of res.getHeaderNames()) res.removeHeader(name)
    res.writeHead(200, ['X-A', '1', 'Set-Cookie', 'a=1', 'Set-Cookie', 'b=2'])
    res.end('x')
  },
  'content-length given': (_, res) => {
    res.setHeader('content-length', 4)
    res.write('ab')
    res.end('cd')
  },
  'flushed early': (_, res) => {
    res.type('text/plain').flushHeaders()
    setImmediate(() => res.end('later'))
  },
  'a pipe': (_, res) => void Readable.from(['a', 'b', 'c']).pipe(res),
  'a pipeline with gzip': async (_, res) => {
    res.setHeader('content-encoding', 'gzip')
    await pipeline(Readable.from([Buffer.alloc(9_000, 'z')]), createGzip(), res)
  },
  'a pipe of many megabytes': (_, res) => void Readable.from([long, long, long]).pipe(res),
  'one long end': (_, res) => res.end(long),
  'callbacks of write': async (_, res) => {
    for (const part of ['a', 'b', 'c'])
      await new Promise<void>((done) => res.write(part, 'utf8', () => done()))
    await new Promise<void>((done) => res.end('d', () => done()))
  },
  sendFile: (_, res) => res.sendFile(file),
  download: (_, res) => res.download(file, 'name.txt'),
  trailers: (_, res) => {
    res.setHeader('trailer', 'x-sum')
    res.write('body')
    res.addTrailers({ 'x-sum': '1' })
    res.end()
  },
  'headers after the end are refused': (_, res) => {
    res.end('done')
    try {
      res.setHeader('x-late', '1')
    } catch (error) {
      if ((error as { code?: string }).code !== 'ERR_HTTP_HEADERS_SENT') throw error
    }
    if (!res.headersSent || !res.writableEnded || !res.finished) throw new Error('not as in node')
  },
  'an error goes to the error handler': () => {
    throw new Error('broken')
  },
  'next(error) after a header': (_, res, next) => {
    res.setHeader('x-half', '1')
    next(new Error('broken'))
  },
  'on-headers style wrapper behind us': (_, res) => {
    const { writeHead } = res
    res.writeHead = function (this: express.Response, ...args: unknown[]) {
      res.setHeader('x-wrapped', '1')
      return (writeHead as (...args: unknown[]) => express.Response).apply(this, args)
    } as typeof res.writeHead
    res.json({ wrapped: true })
  },
}

let idempotency: Idempotency<unknown>
let db: PGlite

beforeAll(async () => {
  writeFileSync(file, 'a file\n'.repeat(500))
  db = new PGlite()
  const store = pgliteStore(db)
  await store.migrate()
  idempotency = createIdempotency({ store })
})
afterAll(async () => {
  await idempotency.close()
  await db.close()
})

function appOf(lib: typeof express, isProtected: boolean): Server {
  const app = lib()
  app.set('env', 'test')
  app.use((_req, res, next) => {
    res.setHeader('x-early', 'yes')
    res.cookie('early', '1')
    next()
  })
  const guard = idempotent(idempotency, { operation: 'capture', scope: (req) => req.originalUrl })
  for (const [name, handler] of Object.entries(handlers)) {
    const path = `/${slug(name)}`
    if (isProtected) app.post(path, guard, lib.json(), handler as never)
    else app.post(path, lib.json(), handler as never)
  }
  app.use((error: Error, _req: unknown, res: express.Response, _next: unknown) => {
    res.status(418).json({ error: error.message })
  })
  return createServer(app)
}

async function exchange(server: Server, name: string, key: string, body = '{"a":1}') {
  if (!server.listening) await once(server.listen(0, '127.0.0.1'), 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.write(
    `POST /${slug(name)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n` +
      `Idempotency-Key: ${key}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  )
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  const all = Buffer.concat(chunks)
  const split = all.indexOf('\r\n\r\n')
  const head = all.subarray(0, split).toString('latin1')
  return {
    head: head.replace(/\r\nDate: [^\r]*/, '').replace(/\r\nLast-Modified: [^\r]*/, ''),
    raw: all.subarray(split + 4),
    body: /transfer-encoding: chunked/i.test(head)
      ? unchunked(all.subarray(split + 4))
      : all.subarray(split + 4),
  }
}

function unchunked(raw: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; ;) {
    const end = raw.indexOf('\r\n', at)
    const size = parseInt(raw.subarray(at, end).toString(), 16)
    if (!(size > 0)) return Buffer.concat(parts)
    parts.push(raw.subarray(end + 2, end + 2 + size))
    at = end + 2 + size + 2
  }
}

describe.each([
  ['Express 5', express],
  ['Express 4', express4],
])('%s', (version, lib) => {
  const servers: Server[] = []
  afterAll(() => {
    for (const server of servers) server.close()
  })
  test.each(Object.keys(handlers))('11, 12, 16 · %s', async (name) => {
    const bare = appOf(lib, false)
    const guarded = appOf(lib, true)
    servers.push(bare, guarded)
    const key = slug(`${version} ${name}`)
    const expected = await exchange(bare, name, key)
    const first = await exchange(guarded, name, key)
    expect(first.head).toBe(expected.head)
    expect(first.body.equals(expected.body)).toBe(true)
    expect(first.raw.equals(expected.raw)).toBe(true)
    const again = await exchange(guarded, name, key)
    if (expected.body.length > 262_144) {
      expect(again.head).toContain(' 409 ')
      expect(again.body.toString()).toContain('response_not_stored')
      return
    }
    expect(again.head).toMatch(/idempotent-replayed: true/i)
    expect(again.head.split(' ')[1]).toBe(expected.head.split(' ')[1])
    expect(again.head.match(/set-cookie/gi)).toHaveLength(1)
    expect(typeOf(again.head)).toBe(typeOf(expected.head))
    expect(again.body.equals(expected.body)).toBe(true)
    if (name.includes('gzip')) expect(gunzipSync(again.body).length).toBe(9_000)
  })
})

function slug(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9]/g, '-')
}

function typeOf(head: string): string | undefined {
  return /\r\ncontent-type: ([^\r]*)/i.exec(head)?.[1]
}

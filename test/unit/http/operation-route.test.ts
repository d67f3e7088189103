/**
 * Goal: a route of a registered operation does what its completer would do, with the input that the route says. Method:
 * web requests, and one Express app, on the store in memory.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { expect, onTestFinished, test } from 'vitest'
import { idempotent as idempotentExpress } from '../../../src/frameworks/express.ts'
import { idempotent } from '../../../src/frameworks/fetch.ts'
import { openApiOf } from '../../../src/http/index.ts'
import { createIdempotency } from '../../../src/index.ts'
import { memoryStore } from '../../../src/memory/index.ts'
import { createCompleter } from '../../../src/workers/index.ts'

interface Ride {
  readonly to: string
}

function world({ fails = false } = {}) {
  const store = memoryStore()
  const idempotency = createIdempotency({ store })
  let works = !fails
  const seen: Ride[] = []
  const operation = idempotency.operation('book-ride', {
    handler: (input: Ride, run) => {
      seen.push(input)
      if (!works) throw new Error('broken')
      return { status: 201, body: { to: input.to, attempt: run.attempt, version: run.version } }
    },
    version: '7',
    retention: '2h',
  })
  const mend = (): void => {
    works = true
  }
  return { store, idempotency, operation, seen, mend }
}

const post = (body: unknown, key = 'k1'): Request =>
  new Request('http://api/rides', {
    method: 'POST',
    headers: { 'idempotency-key': key, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

const scope = 'public'
const input = async (request: Request): Promise<Ride> => (await request.json()) as Ride

test('the handler of the operation answers, and a retry is a replay', async () => {
  const { idempotency, operation, seen } = world()
  const rides = idempotent(idempotency, { operation, scope, input })
  const first = await rides(post({ to: 'Oslo' }))
  expect(first.status).toBe(201)
  expect(await first.json()).toEqual({ to: 'Oslo', attempt: 1, version: '7' })
  const second = await rides(post({ to: 'Oslo' }))
  expect(second.headers.get('idempotent-replayed')).toBe('true')
  expect(await second.json()).toEqual({ to: 'Oslo', attempt: 1, version: '7' })
  expect((await rides(post({ to: 'Bergen' }))).status).toBe(422)
  expect(seen).toEqual([{ to: 'Oslo' }])
})

test('a webhook that names the same work by the same key and input shares its record', async () => {
  const { idempotency, operation, seen } = world()
  await idempotent(idempotency, { operation, scope, input })(post({ to: 'Oslo' }))
  const result = await operation.run({ scope, key: 'k1', input: { to: 'Oslo' } })
  expect(result).toMatchObject({ kind: 'finished', replayed: true })
  expect(seen).toHaveLength(1)
})

test('47 · what it left behind is finished by a completer with the same input; the late retry gets that', async () => {
  const { store, idempotency, operation, seen, mend } = world({ fails: true })
  const rides = idempotent(idempotency, { operation, scope, input, principal: () => 'user-7' })
  await expect(rides(post({ to: 'Oslo' }))).rejects.toThrow('broken')
  mend()
  store.advance('31s')
  expect(await createCompleter(idempotency).runOnce()).toMatchObject({ finished: 1 })
  expect(seen).toEqual([{ to: 'Oslo' }, { to: 'Oslo' }])
  const late = await rides(post({ to: 'Oslo' }))
  expect(late.headers.get('idempotent-replayed')).toBe('true')
  expect(await late.json()).toEqual({ to: 'Oslo', attempt: 2, version: '7' })
})

test('a request that was given up is answered 409, not to be retried, with where to ask', async () => {
  const { store, idempotency } = world()
  const operation = idempotency.operation('give-up', {
    handler: () => Promise.reject(new Error('broken')),
    maxAttempts: 1,
  })
  const rides = idempotent(idempotency, { operation, scope, input })
  await expect(rides(post({ to: 'Oslo' }))).rejects.toThrow('broken')
  store.advance('31s')
  await createCompleter(idempotency).runOnce()
  const answer = await rides(post({ to: 'Oslo' }))
  expect(answer.status).toBe(409)
  expect(await answer.json()).toMatchObject({
    code: 'attempts_exhausted',
    retryable: false,
    safe_new_key: false,
    operation_ref: expect.stringMatching(/^ikey_/) as string,
  })
})

test('Express gives it the parsed body', async () => {
  const { idempotency, operation } = world()
  const app = express().use(express.json())
  app.post(
    '/rides',
    idempotentExpress(idempotency, { operation, scope, input: (req) => req.body as Ride }),
  )
  const server = createServer(app).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const ask = (): Promise<Response> =>
    fetch(`http://127.0.0.1:${String(port)}/rides`, {
      method: 'POST',
      headers: { 'idempotency-key': 'k1', 'content-type': 'application/json' },
      body: JSON.stringify({ to: 'Oslo' }),
    })
  expect(await (await ask()).json()).toMatchObject({ to: 'Oslo' })
  expect((await ask()).headers.get('idempotent-replayed')).toBe('true')
})

test('4 · a body over requestMax is 413, and its input is not read', async () => {
  const { idempotency, operation, seen } = world()
  const reads: string[] = []
  const reading = async (request: Request): Promise<Ride> => {
    reads.push(await request.clone().text())
    return (await request.json()) as Ride
  }
  const rides = idempotent(idempotency, { operation, scope, input: reading, requestMax: 15 })
  const long = { to: 'Longyearbyen' }
  const declared = post(long)
  declared.headers.set('content-length', String(JSON.stringify(long).length))
  const streamed = post(long, 'k2')
  for (const request of [declared, streamed]) {
    const answer = await rides(request)
    expect([answer.status, await answer.json()]).toMatchObject([413, { code: 'body_too_large' }])
  }
  expect((await rides(post({ to: 'Oslo' }, 'k3'))).status).toBe(201)
  expect([reads, seen]).toEqual([['{"to":"Oslo"}'], [{ to: 'Oslo' }]])
  // What was read already cannot be measured, and need not be: the input comes from elsewhere.
  const used = post(long, 'k4')
  await used.text()
  const elsewhere = { operation, scope, input: () => ({ to: 'Bergen' }), requestMax: 15 } as const
  expect((await idempotent(idempotency, elsewhere)(used)).status).toBe(201)
})

test('its OpenAPI fragment says the retention of the operation', () => {
  const { operation } = world()
  expect(JSON.stringify(openApiOf({ operation, scope, input }))).toContain('7200')
})

test('options that contradict it are refused at start-up', () => {
  const { idempotency, operation } = world()
  const protect = (options: object, handler?: () => object) => () =>
    idempotent(idempotency, { operation, scope, input, ...options } as never, handler)
  expect(protect({ retention: '1h' })).toThrow(/retention: say it where operation "book-ride"/)
  expect(protect({ input: undefined })).toThrow(/input: expected a function/)
  expect(protect({ storeUnavailable: 'run_unprotected' })).toThrow(/storeUnavailable/)
  expect(protect({}, () => ({}))).toThrow(/handler: operation "book-ride" was registered/)
  expect(protect({ operation: {} })).toThrow(/operation: expected/)
  expect(protect({ operation: 'book-ride' }, () => ({}))).toThrow(/input: it is for a registered/)
  expect(protect({ operation: 'book-ride', input: undefined })).toThrow(/handler: expected/)
  expect(() => idempotent(world().idempotency, { operation, scope, input })).toThrow(
    /not registered with this idempotency/,
  )
})

/**
 * Goal: web handlers get their request whole and their client gets its response whole. Method: handlers over PGlite,
 * called as a framework would.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { PGlite } from '@electric-sql/pglite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createIdempotency } from '../../../src/index.ts'
import { pgliteStore } from '../../../src/databases/pglite.ts'
import { idempotent } from '../../../src/frameworks/fetch.ts'

const db = new PGlite()
const store = pgliteStore(db)
const idempotency = createIdempotency({ store })
const options = { operation: 'fetch', scope: 'public' } as const

beforeAll(async () => {
  await store.migrate()
})
afterAll(async () => {
  await idempotency.close()
  await db.close()
})

function ask(key: string, init: RequestInit = {}): Request {
  const headers = new Headers(init.headers)
  if (key !== '') headers.set('idempotency-key', key)
  return new Request('http://here/rides?b=2&a=1', { method: 'POST', ...init, headers })
}

test('11, 12, 16 · the handler reads its body, and its very response goes out', async () => {
  let made: Response | undefined
  const handler = idempotent(idempotency, options, async (request, run) => {
    const headers = new Headers({ 'content-type': 'image/x', 'x-mine': run.id })
    headers.append('set-cookie', 'a=1')
    headers.append('set-cookie', 'b=2')
    const bytes = new Uint8Array(await request.arrayBuffer()).reverse()
    return (made = new Response(bytes, { status: 201, statusText: 'Made', headers }))
  })
  const body = Buffer.from(Array.from({ length: 256 }, (_, index) => index))
  const first = await handler(ask('bytes', { body }))
  expect(first).toBe(made)
  expect(first.headers.getSetCookie()).toEqual(['a=1', 'b=2'])
  const expected = Buffer.from(body).reverse()
  expect(Buffer.from(await first.arrayBuffer()).equals(expected)).toBe(true)
  const again = await handler(ask('bytes', { body }))
  expect([again.status, again.headers.get('content-type')]).toEqual([201, 'image/x'])
  expect(again.headers.getSetCookie()).toEqual([])
  expect(again.headers.get('idempotent-replayed')).toBe('true')
  expect(Buffer.from(await again.arrayBuffer()).equals(expected)).toBe(true)
  expect((await handler(ask('bytes', { body: 'other' }))).status).toBe(422)
})

test('drafts, finishes, nothing and whatever else the framework passes', async () => {
  const handler = idempotent(
    idempotency,
    options,
    async (request, run, context: { readonly how: string }) => {
      switch (context.how) {
        case 'draft':
          return { status: 202, headers: { 'set-cookie': ['a=1', 'b=2'] }, body: request.url }
        case 'finish':
          return run.finish(() => ({ status: 203, body: 'finished' }))
        case 'both':
          await run.finish(() => ({ status: 203, body: 'finished' }))
          return new Response('ignored')
        default:
          return
      }
    },
  )
  const draft = await handler(ask('draft'), { how: 'draft' })
  expect([draft.status, draft.headers.getSetCookie()]).toEqual([202, ['a=1', 'b=2']])
  expect((await handler(ask('finish'), { how: 'finish' })).status).toBe(203)
  expect(await (await handler(ask('both'), { how: 'both' })).text()).toBe('finished')
  expect((await handler(ask('nothing'), { how: 'nothing' })).status).toBe(204)
  expect(
    (await handler(ask('nothing'), { how: 'nothing' })).headers.get('idempotent-replayed'),
  ).toBe('true')
})

test('an error is the framework’s, and the next attempt runs', async () => {
  let runs = 0
  const handler = idempotent(idempotency, options, () => {
    if (++runs === 1) throw new Error('first')
    return new Response(null, { status: 204 })
  })
  await expect(handler(ask('thrown'))).rejects.toThrow('first')
  expect((await handler(ask('thrown'))).status).toBe(204)
})

test('18 · streams and long bodies pass through, and are not stored', async () => {
  const handler = idempotent(idempotency, { ...options, responseMax: 1_000 }, (request) => {
    const isEvents = request.headers.has('x-events')
    let left = isEvents ? 3 : 100
    return new Response(
      new ReadableStream({
        async pull(controller) {
          await sleep(1)
          if (left-- === 0) controller.close()
          else controller.enqueue(Buffer.alloc(100, 'z'))
        },
      }),
      {
        headers: {
          location: '/there',
          'content-type': isEvents ? 'text/event-stream' : 'text/plain',
        },
      },
    )
  })
  for (const [key, headers, size] of [
    ['long', {}, 10_000],
    ['events', { 'x-events': '1' }, 300],
  ] as const) {
    const first = await handler(ask(key, { headers }))
    expect((await first.arrayBuffer()).byteLength).toBe(size)
    const again = await handler(ask(key, { headers }))
    expect(await again.json()).toMatchObject({ code: 'response_not_stored' })
    expect(again.headers.get('location')).toBe('/there')
  }
})

test('7, 31 · a key is made; a response whose headers cannot be changed gets its headers all the same', async () => {
  const made = idempotent(
    idempotency,
    { ...options, missing: 'generate', expiresHeader: true },
    () => Response.redirect('http://there/', 303),
  )
  const answer = await made(ask(''))
  expect([answer.status, answer.headers.get('location')]).toEqual([303, 'http://there/'])
  expect(answer.headers.get('idempotency-key')).toMatch(/^[0-9a-f-]{36}$/)
  expect(answer.headers.get('access-control-expose-headers')).toBe('Idempotency-Key')
  expect(answer.headers.get('idempotency-key-retention')).toBe('86400')
})

test('4 · joined lines are refused; a body over the limit is 413; a used body is the programmer’s', async () => {
  const handler = idempotent(idempotency, { ...options, requestMax: 3 }, () => new Response('x'))
  const joined = ask('a')
  joined.headers.append('idempotency-key', 'a')
  expect((await handler(joined)).status).toBe(400)
  expect((await handler(ask('over', { body: '1234' }))).status).toBe(413)
  const used = ask('used', { body: '1' })
  await used.text()
  await expect(handler(used)).rejects.toThrow(/consumed before idempotent/)
})

test('44 · no answer from the store: refused, or run without protection, as the route says', async () => {
  const { StoreUnavailableError } = await import('../../../src/index.ts')
  const down = createIdempotency({
    store: { ...store, claim: () => Promise.reject(new StoreUnavailableError('claiming')) },
    storeTimeout: 50,
  })
  let runs = 0
  const handler = () => new Response(String(++runs))
  const refused = await idempotent(down, options, handler)(ask('down'))
  expect([refused.status, Number(refused.headers.get('retry-after')) > 0, runs]).toEqual([
    503,
    true,
    0,
  ])
  const open = idempotent(down, { ...options, storeUnavailable: 'run_unprotected' }, handler)
  expect(await (await open(ask('down'))).text()).toBe('1')
  await down.close()
  const closed = await idempotent(down, options, handler)(ask('down'))
  expect([closed.status, await closed.json()]).toMatchObject([503, { code: 'store_unavailable' }])
})

/**
 * Goal: what a process remembers of outcomes is what the store would have said, is nobody else's, and is gone in time.
 * Method: a store that counts how often it is asked, a clock that the test moves.
 */
import { expect, test } from 'vitest'
import { createOperator } from '../../src/admin/index.ts'
import { idempotent } from '../../src/frameworks/fetch.ts'
import { createIdempotency, type IdempotencyOptions } from '../../src/index.ts'
import { systemRuntime } from '../../src/core/runtime.ts'
import { memoryStore } from '../../src/memory/index.ts'

const request = { operation: 'book', scope: 's', key: 'k', input: { seat: 4, row: 'b' } }

function start(
  cache: IdempotencyOptions<unknown, string>['cache'] = true,
  answered: () => Promise<unknown> = async () => undefined,
) {
  const store = memoryStore()
  let [claims, now, runs] = [0, 0, 0]
  const claim = store.claim.bind(store)
  Object.assign(store, {
    claim: async (input: Parameters<typeof claim>[0]) => {
      claims++
      const reply = await claim(input)
      await answered()
      return reply
    },
  })
  const runtime = { ...systemRuntime, now: () => now }
  const idempotency = createIdempotency({
    store,
    runtime,
    ...(cache === undefined ? {} : { cache }),
  })
  const book = (changes: Partial<typeof request> & { retention?: string } = {}) =>
    idempotency.run({ ...request, ...changes } as typeof request, () => {
      runs++
      return { status: 201, headers: { etag: '"1"' }, body: `seat ${String(runs)}` }
    })
  return {
    ...{ idempotency, store, book },
    claims: () => claims,
    runs: () => runs,
    later: (ms: number) => void (now += ms),
  }
}

const textOf = (result: Awaited<ReturnType<ReturnType<typeof start>['book']>>): string =>
  result.kind === 'finished' ? Buffer.from(result.outcome.body ?? []).toString() : result.kind

test('without being asked for it, nothing is remembered', async () => {
  const { book, claims } = start(false)
  for (let nth = 0; nth < 3; nth++) await book()
  expect(claims()).toBe(3)
})

test('what was replayed once is replayed again without the store, byte for byte', async () => {
  const { book, claims, runs } = start()
  const first = await book()
  const second = await book()
  expect(claims()).toBe(2)
  const third = await book()
  expect(claims()).toBe(2)
  const { status, headers } = second.kind === 'finished' ? second.outcome : {}
  expect(third).toMatchObject({ id: second.id, kind: 'finished', replayed: true, stored: true })
  expect(third).toMatchObject({ outcome: { status, headers } })
  expect([textOf(first), textOf(third), runs()]).toEqual(['seat 1', 'seat 1', 1])
})

test('members in another order are the same input, and another input is a mismatch', async () => {
  const { book, claims } = start()
  await book()
  await book()
  expect(await book({ input: { row: 'b', seat: 4 } })).toMatchObject({ replayed: true })
  expect(await book({ input: { seat: 5, row: 'b' } })).toMatchObject({ kind: 'mismatch' })
  expect(claims()).toBe(2)
})

test('what one caller does with the bytes, the next one does not see', async () => {
  const { book } = start()
  await book()
  for (let nth = 0; nth < 3; nth++) {
    const result = await book()
    expect(textOf(result)).toBe('seat 1')
    if (result.kind === 'finished') result.outcome.body?.fill(0)
  }
})

test('nor what he tries to do with its headers', async () => {
  const { book } = start()
  await book()
  await book()
  const result = await book()
  if (result.kind !== 'finished') throw new Error(result.kind)
  const headers = result.outcome.headers as [string, string][]
  expect(() => headers.push(['x-mine', 'yes'])).toThrow(TypeError)
  Object.assign(result.outcome, { status: 500 })
  expect(await book()).toMatchObject({ outcome: { status: 201 } })
})

test('other scopes, operations and keys have outcomes of their own', async () => {
  const { book, runs } = start()
  await book()
  await book()
  for (const other of [{ scope: 't' }, { operation: 'cancel' }, { key: 'l' }]) {
    expect(await book(other)).toMatchObject({ replayed: false })
  }
  expect(runs()).toBe(4)
})

test('a key that would read as another key and the end of a scope is refused, as without a cache', async () => {
  const { book } = start()
  await book({ key: 'k', scope: 'a\nb' })
  await book({ key: 'k', scope: 'a\nb' })
  await expect(book({ key: 'k\na', scope: 'b' })).rejects.toMatchObject({ code: 'key_invalid' })
})

test('after its time the store is asked again, however often it was asked for meanwhile', async () => {
  const { book, claims, later } = start({ ttl: '1s' })
  await book()
  await book()
  for (let ms = 0; ms < 990; ms += 110) {
    later(110)
    await book()
  }
  expect(claims()).toBe(2)
  later(20)
  await book()
  expect(claims()).toBe(3)
})

test('what is forgotten here is forgotten at once', async () => {
  const { idempotency, book, runs } = start()
  const first = await book()
  await book()
  await createOperator(idempotency).forget(first.id)
  expect(await book()).toMatchObject({ replayed: false })
  expect(runs()).toBe(2)
})

test('what is erased here is erased at once, and the tombstone is told as one each time', async () => {
  const { idempotency, book, runs } = start()
  await book()
  await book()
  await createOperator(idempotency).purgeScope('s')
  for (let nth = 0; nth < 3; nth++)
    expect(await book()).toMatchObject({ replayed: true, outcome: { erased: true } })
  expect(runs()).toBe(1)
})

test('so is what another process has forgotten or erased before', async () => {
  const { idempotency, store, book, runs } = start()
  const elsewhere = createOperator(createIdempotency({ store }))
  const operator = createOperator(idempotency)
  const first = await book()
  await book()
  await elsewhere.forget(first.id)
  await expect(operator.forget(first.id)).rejects.toMatchObject({ code: 'record_not_found' })
  expect(await book()).toMatchObject({ replayed: false })
  await book()
  await elsewhere.purgeScope('s')
  await operator.purgeScope('s')
  expect(await book()).toMatchObject({ replayed: true, outcome: { erased: true } })
  expect(runs()).toBe(2)
})

test('what is forgotten while it is being read is not remembered', async () => {
  let forget: () => Promise<unknown> = async () => undefined
  const { idempotency, book, claims } = start(true, () => forget())
  const first = await book()
  forget = async () => {
    forget = async () => undefined
    await createOperator(idempotency).forget(first.id)
  }
  expect(await book()).toMatchObject({ replayed: true })
  expect(await book()).toMatchObject({ replayed: false })
  expect(claims()).toBe(3)
})

test('it weighs no more than it may: the least recently used go first, and none takes most of it', async () => {
  const { idempotency, claims } = start({ bytesMax: 40_000 })
  const get = (key: string, size: number) =>
    idempotency.run({ ...request, key }, () => ({ body: 'x'.repeat(size) }))
  for (const key of ['a', 'a', 'b', 'b', 'large', 'large'])
    await get(key, key === 'large' ? 9_000 : 10)
  for (let nth = 0; nth < 60; nth++) {
    await get('a', 10)
    for (let times = 0; times < 2; times++) await get(`k${String(nth)}`, 500)
  }
  const before = claims()
  await get('a', 10)
  expect(claims()).toBe(before)
  await get('large', 9_000)
  await get('b', 10)
  expect(claims()).toBe(before + 2)
})

test('an outcome that is kept for less than a minute is not remembered', async () => {
  const { book, claims } = start()
  for (let nth = 0; nth < 3; nth++) await book({ retention: '59s' })
  expect(claims()).toBe(3)
})

test('a route replays from it as well, and refuses another body', async () => {
  const { idempotency, claims } = start()
  const route = idempotent(idempotency, { operation: 'book', scope: 'public' }, () => ({
    status: 201,
    body: { seat: 4 },
  }))
  const post = (body: string) =>
    route(
      new Request('http://localhost/seats', {
        method: 'POST',
        headers: { 'idempotency-key': 'k', 'content-type': 'application/json' },
        body,
      }),
    )
  await post('{"seat":4}')
  const second = await post('{"seat":4}')
  const third = await post('{"seat":4}')
  expect(claims()).toBe(2)
  expect([third.status, third.headers.get('idempotent-replayed')]).toEqual([201, 'true'])
  expect(await third.text()).toBe(await second.text())
  expect((await post('{"seat":5}')).status).toBe(422)
  expect(claims()).toBe(2)
})

test.each([
  [{ bytesMax: 10 }, /cache\.bytesMax: expected 1024 to 1073741824 bytes, got 10/],
  [{ ttl: '2m' }, /cache\.ttl/],
  ['yes', /cache: expected true, false or \{ bytesMax, ttl \}, got "yes"/],
])('%j is refused, with what was expected', (cache, message) => {
  expect(() => createIdempotency({ store: memoryStore(), cache: cache as never })).toThrow(message)
})

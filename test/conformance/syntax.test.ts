/** Conformance 1–10: what names a request, and who may use that name. */
import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { type App, FRAMEWORKS, gate, rideHandler, setup } from '../support/app.ts'
import { type HeaderLine, quoted, type Reply, sendBytes } from '../support/http-client.ts'

const body = { to: 'Oslo' }
const line = (value: string): HeaderLine => ['Idempotency-Key', value]

/** Refused, and as if it had never been: no handler, no record. */
async function expectInvalid(app: App, reply: Reply): Promise<void> {
  expect(reply).toMatchProblem({ status: 400, code: 'key_invalid' })
  expect(reply.headers['link']).toMatch(/rel="describedby"/)
  expect(app.count()).toBe(0)
  expect(await app.records()).toEqual([])
}

describe.each(FRAMEWORKS)('%s', (framework) => {
  const start = (options: Parameters<typeof setup>[0]['options'] = {}): Promise<App> =>
    setup({ framework, handler: rideHandler, options })

  test('1 · a quoted key → accepted; the stored key has no quotes', async () => {
    const app = await start()
    const key = '8e03978e-40d5-43e8-bc93-6894a57f9324'
    const reply = await app.send({ headerLines: [line(`"${key}"`)], body })
    expect(reply.status).toBe(201)
    expect(await app.records()).toMatchObject([{ idempotency_key: key, state: 'finished' }])
  })

  test('2 · the same key unquoted → the same record', async () => {
    const app = await start()
    const key = randomUUID()
    const first = await app.send({ headerLines: [line(`"${key}"`)], body })
    expect(await app.send({ headerLines: [line(key)], body })).toReplay(first)
    expect(await app.send({ headerLines: [['IDEMPOTENCY-KEY', key]], body })).toReplay(first)
    expect(await app.records()).toHaveLength(1)
  })

  test('2 · strictHeader: a value that is no RFC 9651 String → 400', async () => {
    const app = await start({ strictHeader: true })
    const key = randomUUID()
    for (const value of [key, '42', '?1', 'token', ':Zm9v:', '("a" "b")'])
      await expectInvalid(app, await app.send({ headerLines: [line(value)], body }))
    expect((await app.send({ headerLines: [line(quoted(key))], body })).status).toBe(201)
  })

  test.each([
    [String.raw`"a\"b"`, 'a"b'],
    [String.raw`"a\\b"`, String.raw`a\b`],
    ['"a b"', 'a b'],
    ['"a, b"', 'a, b'],
    ['  "padded"\t', 'padded'],
    ['"k";x=1', 'k'],
    ['"k";x="y, z";flag', 'k'],
  ])('3 · %s decodes to the key %s', async (value, key) => {
    const app = await start()
    const first = await app.send({ headerLines: [line(value)], body })
    expect(first.status).toBe(201)
    expect(await app.records()).toMatchObject([{ idempotency_key: key }])
    expect(await app.send({ key, body })).toReplay(first)
  })

  test.each([
    ['a lone quote', '"'],
    ['no closing quote', '"abc'],
    ['no opening quote', 'abc"'],
    ['a quote within', '"a"b"'],
    ['trailing junk', '"abc" def'],
    ['a bad escape', String.raw`"a\x"`],
    ['an escape at the end', String.raw`"abc\"`],
    ['a bad parameter', '"abc";='],
    ['Latin-1, quoted', '"caf\xe9"'],
    ['Latin-1, bare', 'caf\xe9'],
    ['UTF-8 bytes', '"\xc3\xb8"'],
    ['a no-break space', '\xa0abc'],
    ['a tab, quoted', '"a\tb"'],
    ['a tab, bare', 'a\tb'],
    ['a space, bare', 'a b'],
  ])('3 · %s → 400', async (_, value) => {
    const app = await start()
    await expectInvalid(app, await app.send({ headerLines: [line(value)], body }))
  })

  test.each([
    ['NUL', '\0'],
    ['DEL', '\x7f'],
    ['ESC', '\x1b'],
    ['CR', '\r'],
  ])(
    '3 · a control character that no client lets through (%s) → 400, no record',
    async (_, character) => {
      const app = await start()
      const answer = await sendBytes(
        app.url,
        `POST /rides HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\nX-User: u1\r\n` +
          `Idempotency-Key: "a${character}b"\r\n\r\n`,
      )
      expect(answer).toMatch(/^HTTP\/1\.1 400 /)
      expect(app.count()).toBe(0)
      expect(await app.records()).toEqual([])
    },
  )

  test.each<readonly [string, readonly HeaderLine[]]>([
    ['two lines', [line('"a"'), line('"b"')]],
    ['two lines, bare', [line('a'), line('b')]],
    ['two equal lines', [line('"a"'), line('"a"')]],
    ['two lines, other spelling of the name', [line('"a"'), ['idempotency-key', '"b"']]],
    ['an empty line and a key', [line(''), line('a')]],
    ['a list, quoted', [line('"a", "b"')]],
    ['a list without blanks', [line('"a","b"')]],
    ['a list, bare', [line('a, b')]],
    ['a list, bare, without blanks', [line('a,b')]],
  ])('4 · %s → 400', async (_, headerLines) => {
    const app = await start()
    await expectInvalid(app, await app.send({ headerLines, body }))
  })

  test.each([
    ['empty', ''],
    ['blank', '   \t '],
    ['an empty String', '""'],
    ['a blank String', '"   "'],
    ['256 characters, bare', 'k'.repeat(256)],
    ['256 characters, quoted', quoted('k'.repeat(256))],
  ])('5 · %s → 400', async (_, value) => {
    const app = await start()
    await expectInvalid(app, await app.send({ headerLines: [line(value)], body }))
  })

  test.each([
    ['bare', 'k'.repeat(255), 'k'.repeat(255)],
    ['quoted', quoted('k'.repeat(255)), 'k'.repeat(255)],
    ['255 characters that all need an escape', quoted('"'.repeat(255)), '"'.repeat(255)],
  ])('5 · 255 characters, %s → accepted', async (_, value, key) => {
    const app = await start()
    const first = await app.send({ headerLines: [line(value)], body })
    expect(first.status).toBe(201)
    expect(await app.records()).toMatchObject([{ idempotency_key: key }])
    expect(await app.send({ headerLines: [line(value)], body })).toReplay(first)
  })

  test('5 · the limit is configurable', async () => {
    const app = await start({ keyMax: 10 })
    await expectInvalid(app, await app.send({ key: 'k'.repeat(11), body }))
    expect((await app.send({ key: 'k'.repeat(10), body })).status).toBe(201)
  })

  test('6 · required and missing → 400 with a link to documentation; nothing stored, handler not run', async () => {
    const app = await start()
    const reply = await app.send({ body })
    expect(reply).toMatchProblem({ status: 400, code: 'key_missing' })
    expect(reply.headers['link']).toMatch(/^<https:\/\/[^>]+>; rel="describedby"/)
    expect(app.count()).toBe(0)
    expect(await app.records()).toEqual([])
  })

  test('6 · the link is the application’s own page where it has one', async () => {
    const docs = 'https://api.example.com/docs/idempotency'
    const app = await start({ docs })
    const reply = await app.send({ body })
    expect(reply).toMatchProblem({ status: 400, code: 'key_missing' })
    expect(reply.headers['link']).toContain(`<${docs}>; rel="describedby"`)
    expect(reply.json()).toMatchObject({ type: `${docs}#key_missing` })
  })

  test('7 · optional and missing → the handler runs, no record, no replay header', async () => {
    const app = await start({ missing: 'allow' })
    const replies = [await app.send({ body }), await app.send({ body })]
    for (const reply of replies) {
      expect(reply.status).toBe(201)
      expect(reply.headers['idempotent-replayed']).toBeUndefined()
      expect(reply.headers['idempotency-key']).toBeUndefined()
    }
    expect(replies[0]?.text()).not.toBe(replies[1]?.text())
    expect(app.count()).toBe(2)
    expect(await app.records()).toEqual([])
    // A key that is there is obeyed all the same.
    const first = await app.send({ key: 'k', body })
    expect(await app.send({ key: 'k', body })).toReplay(first)
  })

  test('7 · missing: generate → a key is made, returned, exposed to CORS, and replays', async () => {
    const app = await start({ missing: 'generate' })
    const first = await app.send({ body })
    expect(first.status).toBe(201)
    const key = String(first.headers['idempotency-key'])
    expect(key).toMatch(/^[0-9a-f-]{36}$/)
    expect(first.headers['access-control-expose-headers']).toMatch(/\bidempotency-key\b/i)
    expect(await app.records()).toMatchObject([{ idempotency_key: key }])
    expect(await app.send({ headerLines: [line(key)], body })).toReplay(first)
    const other = await app.send({ body })
    expect(other.headers['idempotency-key']).not.toBe(key)
    expect(app.count()).toBe(2)
  })

  test.each(['GET', 'HEAD', 'OPTIONS'])('8 · %s with a key → ignored', async (method) => {
    const app = await start()
    for (let times = 1; times <= 2; times++) {
      const reply = await app.send({ method, key: 'k' })
      expect(reply.status).toBe(201)
      expect(reply.headers['idempotent-replayed']).toBeUndefined()
      expect(app.count()).toBe(times)
    }
    // Nor is it looked at: what no POST may send passes here.
    expect((await app.send({ method, headerLines: [line('"')] })).status).toBe(201)
    expect(await app.records()).toEqual([])
  })

  test.each(['PUT', 'DELETE'])('8 · %s only when enabled', async (method) => {
    const off = await start()
    await off.send({ method, key: 'k', body })
    await off.send({ method, key: 'k', body })
    expect(off.count()).toBe(2)
    expect(await off.records()).toEqual([])
    const on = await start({ methods: ['POST', 'PATCH', 'PUT', 'DELETE'] })
    const first = await on.send({ method, key: 'k', body })
    expect(await on.send({ method, key: 'k', body })).toReplay(first)
    expect(on.count()).toBe(1)
  })

  test('8 · PATCH is protected by default', async () => {
    const app = await start()
    const first = await app.send({ method: 'PATCH', key: 'k', body })
    expect(await app.send({ method: 'PATCH', key: 'k', body })).toReplay(first)
  })

  /** Goal: nothing is looked up for a key that is not one. Method: a database that nobody could reach. */
  test('9 · validated before any lookup', async () => {
    const app = await setup({
      framework,
      handler: rideHandler,
      down: true,
      idempotencyOptions: { storeTimeout: '200ms' },
    })
    expect(await app.send({ headerLines: [line('"')], body })).toMatchProblem({
      status: 400,
      code: 'key_invalid',
    })
    expect(await app.send({ body })).toMatchProblem({ status: 400, code: 'key_missing' })
    expect(await app.send({ key: 'k', body })).toMatchProblem({
      status: 503,
      code: 'store_unavailable',
    })
    expect(app.count()).toBe(0)
  })

  test('9 · quotes, %, :, escapes and SQL in a key are data only', async () => {
    const app = await start()
    const keys = [
      `'`,
      `''; drop table idempotency_key; --`,
      `") or 1=1 --`,
      '%',
      '_',
      '%%',
      ':',
      'a:b',
      '$1',
      '${1}',
      '\\',
      String.raw`\x00`,
      String.raw`\u0000`,
      'a%00b',
      '{"id":1}',
      '__proto__',
      'constructor',
      'null',
      'ikey_00000000000000000000000000000000',
      ' k',
      'k ',
      'K',
      'k',
    ]
    const firsts = []
    for (const key of keys) firsts.push(await app.send({ key, body }))
    expect(firsts.map(({ status }) => status)).toEqual(keys.map(() => 201))
    expect(app.count()).toBe(keys.length)
    for (const [at, key] of keys.entries())
      expect(await app.send({ key, body })).toReplay(firsts[at] as Reply)
    const stored = (await app.records()).map((row) => row['idempotency_key'])
    expect(stored.sort()).toEqual([...keys].sort())
  })

  /** Goal: a key tells nothing of anybody else's. Method: B asks while A runs, and when A is done, with both bodies. */
  test('10 · user B with A’s key → executes separately; no bytes, no 409, no 422', async () => {
    const running = gate()
    const app = await setup({
      framework,
      handler: async (request, run) => {
        if (request.header('x-user') === 'A') await running.pass()
        return await rideHandler(request, run)
      },
    })
    const asA = app.send({ key: 'k', user: 'A', body })
    await running.reached
    const whileRunning = await app.send({ key: 'k', user: 'B', body })
    expect(whileRunning.status).toBe(201)
    const otherBody = await app.send({ key: 'k', user: 'C', body: { to: 'Rome' } })
    expect(otherBody.status).toBe(201)
    running.open()
    const first = await asA
    const afterwards = await app.send({ key: 'k', user: 'D', body })
    expect(afterwards.status).toBe(201)
    const others = [whileRunning, otherBody, afterwards]
    for (const other of others) {
      expect(other.headers['idempotent-replayed']).toBeUndefined()
      expect(other.text()).not.toBe(first.text())
    }
    expect(await app.send({ key: 'k', user: 'A', body })).toReplay(first)
    expect(await app.send({ key: 'k', user: 'B', body })).toReplay(whileRunning)
    expect(new Set((await app.records()).map((row) => row['id'])).size).toBe(4)
  })
})

/**
 * Conformance 11, 12 and 16 for whatever a handler may write: the first response is what the handler meant, and a
 * replay is the first response. Random scripts; each runs without Pawl, with it, and again. A failure prints its seed
 * and path: PAWL_SEED and PAWL_PATH repeat it.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import type express from 'express'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { FRAMEWORKS, type FrameworkName, type PlainHandler, setup } from '../support/app.ts'
import type { Reply } from '../support/http-client.ts'

const RUNS = 250
const { env } = process
const PARAMETERS: fc.Parameters<unknown> = {
  numRuns: RUNS,
  ...(env['PAWL_SEED'] === undefined ? {} : { seed: Number(env['PAWL_SEED']) }),
  ...(env['PAWL_PATH'] === undefined ? {} : { path: env['PAWL_PATH'] }),
}

const folder = mkdtempSync(join(tmpdir(), 'pawl-bytes-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** How a handler writes its response. */
const WAYS = {
  express: ['send', 'send text', 'json', 'end', 'end hex', 'write', 'head', 'pipe', 'file'],
  fetch: ['bytes', 'text', 'json', 'blob', 'stream'],
  finish: ['bytes', 'text', 'json'],
} as const
type Way = (typeof WAYS)[keyof typeof WAYS][number]

/** One response: what it is, and how it is written. */
interface Script {
  readonly way: Way
  readonly status: number
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly bytes: Buffer
  readonly text: string
  readonly json: unknown
  readonly encoding: 'gzip' | 'br' | undefined
  /** Where the bytes are cut in two, and again. */
  readonly cuts: readonly number[]
}

/** One request: its body, in several types and codings. */
interface Asked {
  readonly body: Buffer | undefined
  readonly headers: Readonly<Record<string, string>>
}

const bytes = (maxLength: number) =>
  fc.uint8Array({ maxLength, size: 'max' }).map((array) => Buffer.from(array))
/** Several packets; drawn as two numbers, because drawing each byte takes longer than the test. */
const manyBytes = fc
  .tuple(fc.nat(), fc.integer({ min: 400, max: 60_000 }))
  .map(([seed, length]) => Buffer.alloc(length, createHash('sha512').update(String(seed)).digest()))
const text = fc.string({ unit: 'binary', maxLength: 300, size: 'max' })
const json = fc.oneof(fc.jsonValue(), fc.constant({ text: 'ø\u2028\ud83d\ude00', big: 1e21 }))

/** ASCII: beside a text body node itself sends a header as UTF-8, and as Latin-1 beside bytes. */
const headerValue = fc
  .string({ unit: 'binary-ascii', maxLength: 40 })
  .map((value) => value.replaceAll(/[\x00-\x1f\x7f]/g, '').trim())

const header = fc.oneof(
  fc.tuple(
    fc.constant('Content-Type'),
    fc.constantFrom(
      'application/json',
      'application/octet-stream',
      'text/plain',
      'text/html; charset=utf-8',
      'text/csv; charset=iso-8859-1',
      'image/png',
      'application/vnd.api+json; profile="a b"',
    ),
  ),
  fc.tuple(fc.constant('ETag'), fc.constantFrom('"abc"', 'W/"weak"', '""')),
  fc.tuple(fc.constant('Location'), fc.constantFrom('/rides/1', 'https://a.example/%C3%B8?b=c')),
  fc.tuple(fc.constant('Content-Language'), fc.constantFrom('en', 'nb, nn')),
  fc.tuple(fc.constant('Cache-Control'), fc.constantFrom('no-store', 'private, max-age=0')),
  fc.tuple(fc.constant('Content-Disposition'), fc.constant(`attachment; filename="a.pdf"`)),
  fc.tuple(
    fc.constant('Link'),
    fc.constantFrom('</rides/1>; rel="self"', '<a>; rel=b, <c>; rel=d'),
  ),
  fc.tuple(fc.constantFrom('X-Ride', 'x-RIDE-2', 'Vary'), headerValue),
)

const headers = fc
  .tuple(
    fc.uniqueArray(header, { maxLength: 5, selector: ([name]) => name.toLowerCase() }),
    fc.uniqueArray(fc.constantFrom('a=1', 'b=2; HttpOnly', 'c="x, y"'), { maxLength: 3 }),
  )
  .map(([lines, cookies]) => [...lines, ...cookies.map((value) => ['Set-Cookie', value] as const)])

const script = (ways: readonly Way[]): fc.Arbitrary<Script> =>
  fc.record({
    way: fc.constantFrom(...ways),
    status: fc.constantFrom(200, 201, 202, 203, 206, 204, 400, 402, 404, 409, 410, 422, 451),
    headers,
    bytes: fc.oneof({ weight: 5, arbitrary: bytes(400) }, { weight: 1, arbitrary: manyBytes }),
    text,
    json,
    encoding: fc.constantFrom(undefined, undefined, 'gzip', 'br'),
    cuts: fc.array(fc.nat({ max: 400 }), { maxLength: 4 }),
  })

const asked: fc.Arbitrary<Asked> = fc.oneof(
  fc.constant({ body: undefined, headers: {} }),
  fc.tuple(fc.dictionary(fc.string(), json), fc.boolean()).map(([value, zipped]) => {
    const plain = Buffer.from(JSON.stringify(value))
    return {
      body: zipped ? gzipSync(plain) : plain,
      headers: {
        'content-type': 'application/json',
        ...(zipped ? { 'content-encoding': 'gzip' } : {}),
      },
    }
  }),
  fc
    .tuple(bytes(2_000), fc.constantFrom('application/octet-stream', 'text/plain', 'image/png'))
    .map(([body, type]) => ({ body, headers: { 'content-type': type } })),
)

/** What is to arrive. */
function meant({ way, status, bytes, text, json, encoding }: Script): Buffer {
  if (status === 204) return Buffer.alloc(0)
  if (way === 'json') return Buffer.from(JSON.stringify(json))
  if (way === 'send text' || way === 'text') return Buffer.from(text)
  return coded(bytes, encoding)
}

function coded(bytes: Buffer, encoding: Script['encoding']): Buffer {
  if (encoding === 'gzip') return gzipSync(bytes)
  const params = { [constants.BROTLI_PARAM_QUALITY]: 1 } // The best one takes a hundred times as long.
  return encoding === 'br' ? brotliCompressSync(bytes, { params }) : bytes
}

function pieces(whole: Buffer, cuts: readonly number[]): readonly Buffer[] {
  const at = [
    0,
    ...[...cuts].filter((cut) => cut < whole.length).sort((a, b) => a - b),
    whole.length,
  ]
  return at.slice(1).map((end, index) => whole.subarray(at[index], end))
}

/** The bytes that are coded say so. */
function headersOf(script: Script): (readonly [string, string])[] {
  const isCoded = script.encoding !== undefined && isOfBytes(script.way) && script.status !== 204
  return isCoded
    ? [...script.headers, ['Content-Encoding', script.encoding ?? '']]
    : [...script.headers]
}

function isOfBytes(way: Way): boolean {
  return way !== 'json' && way !== 'text' && way !== 'send text'
}

/**
 * An empty body without a type: @hono/node-server gives it one if it is no null body, which cannot be told apart in what
 * was stored.
 */
function isTyped(script: Script): boolean {
  return meant(script).length > 0 || script.headers.some(([name]) => name === 'Content-Type')
}

const scripts = new Map<string, Script>()
const scriptOf = (id: string | null | undefined): Script => {
  const script = scripts.get(id ?? '')
  if (script === undefined) throw new Error('no script')
  return script
}

/** What the handler got is said in a header: it must be the same with Pawl and without. */
const digest = (body: string | Buffer): string =>
  createHash('sha256').update(body).digest('hex').slice(0, 16)

async function gotOf(req: express.Request): Promise<string> {
  if (req.get('content-type') === 'application/json') return digest(JSON.stringify(req.body))
  const chunks: Buffer[] = []
  for await (const chunk of req) chunks.push(chunk as Buffer)
  return digest(Buffer.concat(chunks))
}

async function byExpress(req: express.Request, res: express.Response): Promise<void> {
  const script = scriptOf(req.get('x-script'))
  const { way, status, text, json, cuts } = script
  const body = coded(script.bytes, script.encoding)
  const isEmpty = status === 204
  const all = [...headersOf(script), ['X-Got', await gotOf(req)] as const]
  if (way === 'head') {
    res.writeHead(status, 'As It Is', all.flat())
    res.end(isEmpty ? undefined : body)
    return
  }
  res.status(status)
  for (const [name, value] of all) res.append(name, value)
  switch (way) {
    case 'send':
      res.send(isEmpty ? undefined : body)
      return
    case 'send text':
      res.send(isEmpty ? undefined : text)
      return
    case 'json':
      res.json(json)
      return
    case 'end hex':
      res.end(isEmpty ? '' : body.toString('hex'), 'hex')
      return
    case 'write':
      if (!isEmpty)
        for (const piece of pieces(body, cuts)) {
          const given = Buffer.from(piece)
          await new Promise((taken) => res.write(given, taken))
          given.fill(0) // It is the handler's again.
        }
      res.end()
      return
    case 'pipe':
      Readable.from(isEmpty ? [] : pieces(body, cuts)).pipe(res)
      return
    case 'file': {
      const file = join(folder, `${digest(body)}.bin`)
      if (!existsSync(file)) writeFileSync(file, isEmpty ? '' : body) // Its ETag is made of its time.
      res.sendFile(file)
      return
    }
    default:
      res.end(isEmpty ? undefined : body)
  }
}

async function byFetch(request: Request): Promise<Response> {
  const script = scriptOf(request.headers.get('x-script'))
  const { way, status, text, json, cuts } = script
  const body = coded(script.bytes, script.encoding)
  const got = digest(Buffer.from(await request.arrayBuffer()))
  const init = {
    status,
    headers: new Headers([...headersOf(script), ['X-Got', got]].map(([n, v]) => [n, v])),
  }
  if (status === 204) return new Response(null, init)
  switch (way) {
    case 'text':
      return new Response(text, init)
    case 'json':
      return Response.json(json, init)
    case 'blob':
      return new Response(new Blob([body]), init)
    case 'stream': {
      const rest = [...pieces(body, cuts)]
      const pull = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
        const next = rest.shift()
        if (next === undefined) controller.close()
        else if (next.length > 0) controller.enqueue(next)
        else pull(controller)
      }
      return new Response(new ReadableStream({ pull }), init)
    }
    default:
      return new Response(body as Buffer<ArrayBuffer>, init)
  }
}

const plain: PlainHandler = {
  express: (req, res) => byExpress(req as express.Request, res),
  fetch: byFetch,
}

/** How a message is framed and when it was made is not what it says. */
const OF_THE_MESSAGE = new Set([
  'date',
  'connection',
  'keep-alive',
  'transfer-encoding',
  'content-length',
])

/** By name; the order of lines with one name is kept. */
function linesOf({ rawHeaders }: Reply): string[] {
  const lines = rawHeaders.flatMap((name, at) => {
    const lower = name.toLowerCase()
    const value = rawHeaders[at + 1] ?? ''
    if (at % 2 === 1 || OF_THE_MESSAGE.has(lower)) return []
    // @hono/node-server spells the type it gives to a text in two ways, of an untouched Response and of one it made.
    const isType = lower === 'content-type'
    return [[lower, isType ? value.replace('; charset=UTF-8', ';charset=UTF-8') : value]] as const
  })
  return lines.sort(([a], [b]) => (a < b ? -1 : Number(a > b))).map((one) => one.join(': '))
}

/** Bytes as text, one character each: compared at once, and shown where they differ. */
const latin1 = (bytes: Buffer): string => bytes.toString('latin1')

let last = 0
function remember(script: Script): string {
  const id = `script-${String(++last)}`
  scripts.set(id, script)
  return id
}

const waysOf = (framework: FrameworkName): readonly Way[] =>
  framework === 'fetch' ? WAYS.fetch : WAYS.express

describe.each(FRAMEWORKS)('%s', (framework) => {
  test(`11, 12, 16 · ${RUNS} random responses: the first is what the handler meant, the replay is the first`, async () => {
    const app = await setup({ framework, plain })
    await fc.assert(
      fc.asyncProperty(script(waysOf(framework)), asked, async (script, { body, headers }) => {
        fc.pre(framework !== 'fetch' || isTyped(script))
        const id = remember(script)
        const request = { body, headers: { ...headers, 'x-script': id } }
        const bare = await app.send({ ...request, path: '/bare' })
        const first = await app.send({ ...request, key: id })
        const wanted = latin1(meant(script))
        expect(latin1(bare.body)).toBe(wanted) // Or the test does not do what it says.
        expect([first.status, latin1(first.body)]).toEqual([script.status, wanted])
        expect(linesOf(first)).toEqual(linesOf(bare))
        expect(await app.send({ ...request, key: id })).toReplay(first)
        expect(latin1((await app.record(id))?.['response_body'] as Buffer)).toBe(wanted)
      }),
      PARAMETERS,
    )
  })

  test(`11, 12, 16 · ${RUNS} random outcomes of run.finish: the same`, async () => {
    const app = await setup({
      framework,
      handler: (request, run) =>
        run.finish(() => {
          const script = scriptOf(request.header('x-script'))
          const { way, status, text, json } = script
          const body = { text, json, bytes: coded(script.bytes, script.encoding) }[way as 'text']
          return { status, headers: headersOf(script), ...(status === 204 ? {} : { body }) }
        }),
    })
    await fc.assert(
      fc.asyncProperty(script(WAYS.finish), async (script) => {
        // Null is an empty body and a string is sent as it is: not JSON, as documented.
        fc.pre(script.way !== 'json' || (script.json !== null && typeof script.json !== 'string'))
        const id = remember(script)
        const request = { key: id, headers: { 'x-script': id } }
        const first = await app.send(request)
        expect([first.status, latin1(first.body)]).toEqual([script.status, latin1(meant(script))])
        for (const [name, value] of headersOf(script))
          expect([first.headers[name.toLowerCase()]].flat().join('\n')).toContain(value)
        expect(await app.send(request)).toReplay(first)
      }),
      PARAMETERS,
    )
  })
})

/**
 * A client without opinions: sends the header lines it is given, as they are, and hands back the bytes that came. `fetch`
 * would join, normalise and decode, which is what is under test.
 */
import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'

const ANSWER_MAX_MS = 20_000

/** One header line: name and value, as they travel. Values are Latin-1. */
export type HeaderLine = readonly [name: string, value: string]

/** A request. `key` is sent quoted, as draft-07 says; `headerLines` adds lines as they are. */
export interface SendRequest {
  readonly url: string
  /** `POST` by default. */
  readonly method?: string
  /** `/rides` by default. */
  readonly path?: string
  readonly key?: string
  readonly headerLines?: readonly HeaderLine[]
  readonly headers?: Readonly<Record<string, string>>
  /** Bytes and strings as they are; anything else as JSON, with its content type. */
  readonly body?: unknown
  /** The client hangs up so long after it has sent everything. */
  readonly abortAfterMs?: number
  /** The client hangs up then. */
  readonly abortWhen?: Promise<unknown>
}

/** What came back. */
export interface Reply {
  readonly status: number
  /** Names and values in turn, as they came. */
  readonly rawHeaders: readonly string[]
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
  text(): string
  json(): unknown
}

/** @throws when the connection breaks, or when nothing came in time */
export function send(asked: SendRequest): Promise<Reply> {
  const { bytes, type } = encoded(asked.body)
  const url = new URL(asked.path ?? '/rides', asked.url)
  const method = asked.method ?? 'POST'
  const given: HeaderLine[] = [
    ...Object.entries(asked.headers ?? {}),
    ...(asked.headerLines ?? []),
    ...(asked.key === undefined ? [] : [['Idempotency-Key', quoted(asked.key)] as const]),
  ]
  const has = (name: string): boolean => given.some(([one]) => one.toLowerCase() === name)
  const lines: HeaderLine[] = [['Host', url.host], ...given]
  if (type !== undefined && !has('content-type')) lines.push(['Content-Type', type])
  if (bytes !== undefined) lines.push(['Content-Length', String(bytes.length)])
  else if (method !== 'GET' && method !== 'HEAD') lines.push(['Content-Length', '0'])
  return new Promise((resolve, reject) => {
    const sending = request({
      host: url.hostname,
      port: url.port,
      method,
      // As it is: a URL would be normalised.
      path: asked.path ?? '/rides',
      agent: false,
      timeout: ANSWER_MAX_MS,
      headers: lines.flat(),
    })
    sending.once('timeout', () => sending.destroy(new Error('no answer within 20 s')))
    sending.once('error', reject)
    sending.once('response', (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.once('error', reject)
      response.once('end', () => {
        const body = Buffer.concat(chunks)
        resolve({
          status: response.statusCode ?? 0,
          rawHeaders: response.rawHeaders,
          headers: response.headers,
          body,
          text: () => body.toString(),
          json: () => JSON.parse(body.toString()) as unknown,
        })
      })
    })
    const hangUp = (): void => void sending.destroy(new Error('aborted'))
    asked.abortWhen?.then(hangUp, hangUp)
    sending.end(bytes, () => {
      if (asked.abortAfterMs !== undefined) setTimeout(hangUp, asked.abortAfterMs)
    })
  })
}

/** Sends bytes as they are, also those that no client would; resolves with all that came back, as Latin-1. */
export async function sendBytes(url: string, bytes: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  socket.on('error', () => undefined)
  socket.end(bytes, 'latin1')
  await once(socket, 'close')
  return Buffer.concat(chunks).toString('latin1')
}

/** The RFC 9651 String of a key. */
export function quoted(key: string): string {
  return `"${key.replaceAll(/["\\]/g, '\\$&')}"`
}

/** A multipart form with a boundary of the caller's choice. */
export function multipart(
  boundary: string,
  parts: readonly {
    readonly name: string
    readonly value: string | Buffer
    readonly file?: string
    readonly type?: string
  }[],
): { readonly body: Buffer; readonly headers: Readonly<Record<string, string>> } {
  const pieces = parts.flatMap(({ name, value, file, type }) => [
    Buffer.from(
      `--${boundary}\r\nContent-Disposition: form-data; name="${name}"` +
        (file === undefined ? '' : `; filename="${file}"`) +
        (type === undefined ? '' : `\r\nContent-Type: ${type}`) +
        '\r\n\r\n',
    ),
    Buffer.from(value),
    Buffer.from('\r\n'),
  ])
  return {
    body: Buffer.concat([...pieces, Buffer.from(`--${boundary}--\r\n`)]),
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
  }
}

function encoded(body: unknown): { readonly bytes?: Buffer; readonly type?: string } {
  if (body === undefined) return {}
  if (Buffer.isBuffer(body)) return { bytes: body }
  if (typeof body === 'string') return { bytes: Buffer.from(body), type: 'application/json' }
  return { bytes: Buffer.from(JSON.stringify(body)), type: 'application/json' }
}

/**
 * A node request as the profile sees it. Its body is read only when nobody has read it, and is put back before its
 * 'end' is emitted, so that a parser or a handler behind us reads it as if we had not.
 */
import type { IncomingMessage } from 'node:http'
import { ConfigError } from '../core/errors.ts'
import type { HttpRequest, RequestBody } from './request.ts'

/** A node request, with what body parsers leave on it. */
export interface ParsedRequest extends IncomingMessage {
  /** The bytes as they came, where the application keeps them (webhook signatures). */
  readonly rawBody?: unknown
  /** What a body parser made of it. */
  readonly body?: unknown
}

/**
 * A view of a node request.
 *
 * @param target - path and query as the client sent them, where `req.url` was changed by a router
 */
export function nodeRequest(req: ParsedRequest, target: string): HttpRequest {
  return {
    method: req.method ?? 'GET',
    target,
    header: (name) => linesOf(req.rawHeaders, name.toLowerCase()),
    body: (max) => bodyOf(req, max),
  }
}

/** Node joins repeated lines with a comma; the raw ones tell two keys from one. */
function linesOf(raw: readonly string[], name: string): readonly string[] {
  const lines: string[] = []
  for (let at = 0; at + 1 < raw.length; at += 2) {
    if (raw[at]?.toLowerCase() === name) lines.push(raw[at + 1] ?? '')
  }
  return lines
}

/** What was read of a request before, for a second look at it. */
const read = new WeakMap<IncomingMessage, Buffer>()

async function bodyOf(req: ParsedRequest, max: number): Promise<RequestBody> {
  const known = bytesOf(req.rawBody) ?? read.get(req)
  if (known !== undefined) return limited(known, max)
  if (!announcesBody(req)) return { kind: 'none' }
  if (req.readableDidRead || req.readableEnded || !req.readable) return parsed(req)
  if (Number(req.headers['content-length'] ?? 0) > max) {
    req.resume()
    return { kind: 'too_large' }
  }
  const bytes = await readAndPutBack(req, max)
  if (bytes === undefined) return { kind: 'too_large' }
  read.set(req, bytes)
  return limited(bytes, max)
}

function limited(bytes: Uint8Array, max: number): RequestBody {
  return bytes.length > max ? { kind: 'too_large' } : { kind: 'bytes', bytes }
}

function bytesOf(rawBody: unknown): Uint8Array | undefined {
  if (rawBody instanceof Uint8Array) return rawBody
  return typeof rawBody === 'string' ? Buffer.from(rawBody) : undefined
}

/** RFC 9112 6.3: without either field a request has no body, whatever a parser made of that. */
function announcesBody(req: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': transfer } = req.headers
  return transfer !== undefined || (length !== undefined && Number(length) !== 0)
}

function parsed(req: ParsedRequest): RequestBody {
  const isMultipart = /^\s*multipart\//i.test(req.headers['content-type'] ?? '')
  if (req.body !== undefined && !isMultipart) return { kind: 'parsed', value: req.body }
  throw new ConfigError(
    `the request body was consumed before idempotent() could compare it: mount idempotent() before what reads it ` +
      `(an upload handler, a stream), keep the bytes in req.rawBody, or give the option fingerprint.`,
  )
}

/**
 * All bytes of the body, put back; undefined when there are more than `max`, and then the rest is drained so that the
 * connection stays usable.
 *
 * The order matters: `read()` schedules 'end' for the next tick once it has taken the last byte, and skips it when
 * bytes are there again by then. So nothing is awaited between the last `read()` and `unshift()`, and a body that is
 * empty is never read at all.
 */
async function readAndPutBack(req: IncomingMessage, max: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  const isWhole = (): boolean => {
    while (req.readableLength > 0 && size <= max) {
      const chunk = req.read() as Buffer | null
      if (chunk === null) break
      chunks.push(chunk)
      size += chunk.length
    }
    return req.complete || size > max
  }
  if (!(req.complete && req.readableLength === 0))
    await until(req, isWhole, () => {
      if (size <= max && size > 0) req.unshift(Buffer.concat(chunks))
    })
  if (size <= max) return Buffer.concat(chunks)
  req.resume()
  return undefined
}

/** Resolves when `isDone`, asked whenever something is readable; `last` runs in that same tick. */
async function until(req: IncomingMessage, isDone: () => boolean, last: () => void): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const settle = (outcome: () => void): void => {
      req.off('readable', look).off('error', fail).off('close', cut)
      outcome()
    }
    const look = (): void => {
      if (!isDone()) return
      last()
      settle(resolve)
    }
    const fail = (error: Error): void => settle(() => reject(error))
    const cut = (): void => fail(new Error('the client went away while it was sending its request'))
    req.on('readable', look).on('error', fail).on('close', cut)
  })
}

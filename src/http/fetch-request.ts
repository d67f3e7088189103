/**
 * A web `Request` as the profile sees it. A copy of it is read, so that the handler gets the very request it was sent,
 * of its framework's own class and with its body unread.
 */
import { ConfigError } from '../core/errors.ts'
import type { HttpRequest, RequestBody } from './request.ts'

/** A view of a web request. Lines of one header are joined already: a comma outside of quotes tells them apart. */
export function fetchRequest(request: Request): HttpRequest {
  return {
    method: request.method,
    target: request.url,
    header: (name) => {
      const value = request.headers.get(name)
      return value === null ? [] : [value]
    },
    body: (max) => bodyOf(request, max),
  }
}

async function bodyOf(request: Request, max: number): Promise<RequestBody> {
  if (request.bodyUsed) {
    throw new ConfigError(
      'the request body was consumed before idempotent() could compare it: give the unread request to it, or the ' +
        'option fingerprint.',
    )
  }
  if (request.body === null) return { kind: 'none' }
  if (Number(request.headers.get('content-length') ?? 0) > max) return { kind: 'too_large' }
  const bytes = await readUpTo(request.clone().body, max)
  return bytes === undefined ? { kind: 'too_large' } : { kind: 'bytes', bytes }
}

/**
 * All bytes of a stream; undefined when there are more than `max`. The stream is one of two copies: the other keeps
 * what was read here, which is at most `max` bytes and a chunk.
 */
export async function readUpTo(
  stream: ReadableStream<Uint8Array> | null,
  max: number,
): Promise<Uint8Array | undefined> {
  if (stream === null) return new Uint8Array()
  const reader = stream.getReader()
  const chunks: Uint8Array[] = []
  let size = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return Buffer.concat(chunks)
    size += value.length
    if (size > max) break
    chunks.push(value)
  }
  // Settles only when the other copy is cancelled too, so it is not waited for.
  reader.cancel().catch(() => undefined)
  return undefined
}

/**
 * A web `Response` on its way to the client: read for the store while the client's own copy stays whole.
 * Conformance 11, 16, 18.
 */
import type { CapturedDraft } from '../core/execute.ts'
import type { Header, WholeResponse } from '../core/outcome.ts'
import { readUpTo } from './fetch-request.ts'

/** True for a response of this or another realm, which `instanceof` would miss. */
export function isResponse(value: unknown): value is Response {
  return (
    typeof value === 'object' &&
    value !== null &&
    'status' in value &&
    'headers' in value &&
    typeof (value as Partial<Response>).arrayBuffer === 'function'
  )
}

/**
 * What is to be stored of a response. The response itself stays unread: its first bytes wait for the client, the rest
 * streams.
 *
 * @param max - bytes that may be stored
 */
export async function draftOf(response: Response, max: number): Promise<CapturedDraft> {
  // Nobody reads a copy of an event stream, and an unread copy keeps everything in memory.
  if (EVENT_STREAM.test(response.headers.get('content-type') ?? '')) {
    return { ...factsOf(response), keepBody: false }
  }
  // The copy's headers: some servers' own Response learns the type of its body only when it is copied.
  const copy = response.clone()
  const body = await readUpTo(copy.body, max)
  const facts = factsOf(copy)
  return body === undefined ? { ...facts, keepBody: false } : { ...facts, body, keepBody: true }
}

const EVENT_STREAM = /^\s*text\/event-stream\b/i

function factsOf(response: Response): { status: number; headers: readonly Header[] } {
  return { status: response.status, headers: [...response.headers] }
}

/** A response of Pawl's own. */
export function responseFrom({ status, headers, body }: WholeResponse): Response {
  const hasBody = body.length > 0
  return new Response(hasBody ? (body as Uint8Array<ArrayBuffer>) : null, {
    status,
    headers: headers.map(([name, value]) => [name, value]),
  })
}

/** The response with more headers; itself when there are none, because a copy would not be what the handler made. */
export function withHeaders(response: Response, added: readonly Header[]): Response {
  if (added.length === 0) return response
  const headers = new Headers(response.headers)
  for (const [name, value] of added) headers.append(name, value)
  const { status, statusText, body } = response
  return new Response(body, { status, statusText, headers })
}

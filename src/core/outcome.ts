/**
 * The outcome: what the client gets, and what of it is stored. Bytes are kept as they are and never re-serialised;
 * headers are kept by an allow-list, because a replayed `Set-Cookie` hands one user's session to a log, a cache or
 * whoever may read the table.
 */
import { ConfigError } from './errors.ts'

/** Lower-case name and value. A name may come more than once. */
export type Header = readonly [name: string, value: string]

/** A response, whole: what the first caller gets. */
export interface WholeResponse {
  readonly status: number
  readonly headers: readonly Header[]
  readonly body: Uint8Array
}

/** What is stored, and replayed. */
export interface Outcome {
  readonly status: number
  /** Only the headers of the allow-list. */
  readonly headers: readonly Header[]
  /** The exact bytes; undefined when they were not kept (over the limit, or a stream): see `response_not_stored`. */
  readonly body: Uint8Array | undefined
  /** It was erased. Of which request cannot be told any more: a retry learns that it was done. */
  readonly erased?: true
}

/** What a handler says of its response. */
export interface Draft {
  /** 200 to 599; 200 by default, 204 without a body. */
  readonly status?: number
  /** Names in any case. `undefined` members are left out. */
  readonly headers?:
    Readonly<Record<string, string | number | readonly string[] | undefined>> | readonly Header[]
  /**
   * A string is sent as it is (text/plain unless a content-type says otherwise), bytes too; null and undefined are an
   * empty body; anything else is JSON, serialised once and stored as those bytes.
   */
  readonly body?: unknown
}

/** The headers that are stored unless an operation adds some: RFC 9110 metadata of the content itself. */
export const STORED_HEADERS: readonly string[] = [
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-location',
  'content-type',
  'etag',
  'last-modified',
  'link',
  'location',
  'retry-after',
]

/** Never stored, whatever an operation asks for: credentials, per-message and hop-by-hop fields. */
const NEVER_STORED: ReadonlySet<string> = new Set([
  'authorization',
  'connection',
  'content-length',
  'cookie',
  'date',
  'idempotent-replayed',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'set-cookie',
  'set-cookie2',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'www-authenticate',
])

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/
// Visible characters, spaces and tabs: no CR or LF, so a stored value can never split a response (OWASP ASVS 4.2).
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/**
 * The whole response of a draft.
 *
 * @param typed - false for a response that was captured or stored: what it says of its type stands, also nothing
 * @throws {@link ConfigError} a status, header or body that cannot be sent
 */
export function responseOf(draft: Draft, typed = true): WholeResponse {
  const headers = headersOf(draft.headers)
  const { bytes, contentType } = bytesOf(draft.body)
  const status = draft.status ?? (bytes.length === 0 ? 204 : 200)
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new ConfigError(
      `response status: expected an integer from 200 to 599, got ${String(status)}.`,
    )
  }
  // A captured 205 with a body was sent like that; a new one cannot be made of it everywhere.
  const bodiless = status === 204 || status === 304 || (typed && status === 205)
  if (bodiless && bytes.length > 0) {
    throw new ConfigError(
      `response body: status ${status} has none; leave the body out or use another status.`,
    )
  }
  if (typed && contentType !== undefined && !headers.some(([name]) => name === 'content-type')) {
    headers.push(['content-type', contentType])
  }
  return { status, headers, body: bytes }
}

/**
 * What of a response is stored.
 *
 * @param also - further header names the operation stores, lower case
 * @param bodyMax - bytes; a longer body is not stored, and a retry is told so (conformance 18)
 */
export function outcomeOf(
  response: WholeResponse,
  also: readonly string[],
  bodyMax: number,
): Outcome {
  return {
    status: response.status,
    headers: storedHeaders(response.headers, also),
    body: response.body.length <= bodyMax ? response.body : undefined,
  }
}

/** The headers of a response that may be stored: the allow-list and `also`, less what never may. */
export function storedHeaders(
  headers: readonly Header[],
  also: readonly string[],
): readonly Header[] {
  return headers.filter(
    ([name]) => !NEVER_STORED.has(name) && (STORED_HEADERS.includes(name) || also.includes(name)),
  )
}

/** @throws {@link ConfigError} `storeHeaders` names a header that must not be stored */
export function checkStoredHeaders(names: readonly string[]): readonly string[] {
  return names.map((name) => {
    const lower = name.toLowerCase()
    if (!HEADER_NAME.test(lower) || NEVER_STORED.has(lower)) {
      throw new ConfigError(
        `storeHeaders: "${name}" is never stored (credential, per-message or hop-by-hop field).`,
      )
    }
    return lower
  })
}

function headersOf(headers: Draft['headers']): Header[] {
  const pairs: Header[] = []
  const given = Array.isArray(headers)
    ? (headers as readonly Header[])
    : Object.entries(headers ?? {})
  for (const [name, values] of given) {
    if (values === undefined) continue
    for (const value of Array.isArray(values) ? (values as readonly string[]) : [values]) {
      const lower = name.toLowerCase()
      if (!HEADER_NAME.test(lower))
        throw new ConfigError(`response header: ${JSON.stringify(name)} is no header name.`)
      const text = String(value)
      if (!HEADER_VALUE.test(text)) {
        throw new ConfigError(
          `response header ${lower}: its value holds characters a header cannot carry.`,
        )
      }
      pairs.push([lower, text])
    }
  }
  return pairs
}

function bytesOf(body: unknown): { bytes: Uint8Array; contentType: string | undefined } {
  if (body === undefined || body === null)
    return { bytes: new Uint8Array(), contentType: undefined }
  if (typeof body === 'string')
    return { bytes: Buffer.from(body), contentType: 'text/plain; charset=utf-8' }
  if (body instanceof Uint8Array) return { bytes: body, contentType: 'application/octet-stream' }
  let text: string | undefined
  try {
    text = JSON.stringify(body)
  } catch (error) {
    throw new ConfigError(
      `response body: expected JSON, got ${error instanceof Error ? error.message : String(error)}.`,
    )
  }
  if (text === undefined) throw new ConfigError(`response body: a ${typeof body} cannot be sent.`)
  return { bytes: Buffer.from(text), contentType: 'application/json; charset=utf-8' }
}

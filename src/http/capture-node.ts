/**
 * What a captured response does in node's own terms: its original methods, its arguments, its headers.
 */
import {
  type OutgoingHttpHeader,
  type OutgoingHttpHeaders,
  type ServerResponse,
  validateHeaderName,
  validateHeaderValue,
} from 'node:http'
import type { Header } from '../core/outcome.ts'

/** Calls back as node does after a write or an end. */
export type Done = (error?: Error | null) => void
/** The headers of `writeHead`: an object, or names and values in turn. */
export type HeadFields = OutgoingHttpHeaders | readonly OutgoingHttpHeader[]

const METHODS = [
  'writeHead',
  'flushHeaders',
  'write',
  'end',
  'destroy',
  'emit',
  'setHeader',
  'appendHeader',
  'removeHeader',
  'setHeaders',
] as const

/** The arguments of a write or an end. */
export interface Chunk {
  readonly chunk: unknown
  readonly encoding: BufferEncoding | undefined
  readonly done: Done | undefined
}

/** The methods a response had before, bound to it. */
export type Native = Readonly<
  Record<(typeof METHODS)[number], (...args: readonly unknown[]) => unknown>
>

/** The methods of a response as they are now, which may be another middleware's. */
export function nativeOf(res: ServerResponse): Native {
  const methods = METHODS.map((name) => {
    const method = res[name] as (...args: readonly unknown[]) => unknown
    return [name, (...args: readonly unknown[]): unknown => method.apply(res, [...args])] as const
  })
  return Object.fromEntries(methods) as Native
}

/** Remembers status and headers; the function brings them back. */
export function remember(res: ServerResponse): () => void {
  const { statusCode, statusMessage } = res
  // Spelled as they were set; in node since 15.4, missing in its types.
  const names = (res as unknown as { getRawHeaderNames(): string[] }).getRawHeaderNames()
  const headers = names.map((name) => [name, res.getHeader(name)] as const)
  return () => {
    ;(res as unknown as { _header: string | null })._header = null
    for (const name of res.getHeaderNames()) res.removeHeader(name)
    for (const [name, value] of headers) if (value !== undefined) res.setHeader(name, value)
    res.statusCode = statusCode
    res.statusMessage = statusMessage
  }
}

/** Chunk, encoding and callback, wherever they stand. */
export function chunkOf(args: readonly unknown[]): Chunk {
  const [chunk, encoding] = args
  const done = args.find((one) => typeof one === 'function') as Done | undefined
  return {
    chunk: typeof chunk === 'function' || chunk === null ? undefined : chunk,
    encoding: typeof encoding === 'string' ? (encoding as BufferEncoding) : undefined,
    done,
  }
}

/** What can be written. */
export function isChunk(chunk: unknown): chunk is string | Uint8Array {
  return typeof chunk === 'string' || chunk instanceof Uint8Array
}

/** Calls back in the next tick, as node does for what it took at once. */
export function later<R>(done: Done | undefined, result: R): R {
  if (done !== undefined) process.nextTick(done)
  return result
}

/**
 * What `writeHead` is given joins what was set before, as in node; where nothing was set, it stays as it is.
 *
 * @returns the headers that are not set on the response
 */
export function merged(
  res: ServerResponse,
  fields: HeadFields | undefined,
): HeadFields | undefined {
  if (fields === undefined || fields === null) return undefined
  const given = entries(fields)
  if (res.getHeaderNames().length > 0) {
    for (const [name, value] of given) res.setHeader(name, value)
    return undefined
  }
  for (const [name, value] of given) {
    validateHeaderName(name)
    for (const one of [value].flat()) validateHeaderValue(name, String(one))
  }
  return fields
}

/** Lower-case names and values, a line each. */
export function pairs(fields: HeadFields): readonly Header[] {
  return entries(fields).flatMap(([name, value]) =>
    [value].flat().map((one): Header => [name.toLowerCase(), String(one)]),
  )
}

type Value = string | number | readonly string[]

function entries(fields: HeadFields): readonly (readonly [name: string, value: Value])[] {
  if (!Array.isArray(fields)) {
    return Object.entries(fields as OutgoingHttpHeaders).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value] as const],
    )
  }
  const list = fields as readonly Value[]
  return list.flatMap((name, at) =>
    at % 2 === 0 ? [[String(name), list[at + 1] ?? ''] as const] : [],
  )
}

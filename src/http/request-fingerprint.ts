/**
 * The fingerprint of a request: what must be the same for a retry to be a retry. Meaning is compared where it is
 * certain (JSON, forms, multipart, queries), bytes otherwise: a doubt is a mismatch, never a replay of something else.
 * Conformance 19–22.
 */
import { ConfigError } from '../core/errors.ts'
import { canonicalJson, type FingerprintParts } from '../core/fingerprint.ts'
import { pairsOfParsed, pairsOfText } from './form-text.ts'
import { canonicalText } from './json-text.ts'
import type { HttpRequest, RequestBody } from './request.ts'

/** What a request is fingerprinted by, or that its body is more than may be read. */
export type RequestParts =
  | { readonly kind: 'parts'; readonly parts: FingerprintParts }
  | { readonly kind: 'too_large'; readonly why: string }

/**
 * The parts of a request: method, path, query, and the body by its kind.
 *
 * @param max - bytes of the body
 * @throws {@link ConfigError} the body was consumed before and left nothing to compare
 */
export async function requestParts(request: HttpRequest, max: number): Promise<RequestParts> {
  const body = await request.body(max)
  if (body.kind === 'too_large') return { kind: 'too_large', why: tooLong(max) }
  const bodyParts = await partsOf(body, typeOf(request))
  if (bodyParts === undefined)
    return { kind: 'too_large', why: 'The request body is nested too deeply.' }
  const { pathname, query } = splitTarget(request.target)
  const queryText = pairsOfText(query) ?? query
  return {
    kind: 'parts',
    parts: ['http', request.method.toUpperCase(), pathname, queryText, ...bodyParts],
  }
}

/**
 * Why a body is too long, where it is not read for a fingerprint. Undefined: it is not, or what has consumed it has
 * left nothing to measure.
 */
export async function bodyTooLong(request: HttpRequest, max: number): Promise<string | undefined> {
  try {
    return (await request.body(max)).kind === 'too_large' ? tooLong(max) : undefined
  } catch (error) {
    if (error instanceof ConfigError) return undefined
    throw error
  }
}

function tooLong(max: number): string {
  return `The request body may have ${max} bytes at most.`
}

/** Path and query of a request target; of an absolute one too (a proxy's). */
export function splitTarget(target: string): { pathname: string; query: string } {
  const [, , path = '', query = ''] = /^(https?:\/\/[^/?#]*)?([^?#]*)\??([^#]*)/i.exec(target) ?? []
  return { pathname: path === '' ? '/' : path, query }
}

interface ContentType {
  /** Lower case, without parameters. */
  readonly media: string
  /** As sent; multipart needs its boundary. */
  readonly whole: string
  readonly charset: string
  /** `content-encoding`, '' when there is none: encoded bytes are compared as they are. */
  readonly encoding: string
}

function typeOf(request: HttpRequest): ContentType {
  const whole = request.header('content-type')[0] ?? ''
  const encoding = (request.header('content-encoding')[0] ?? '').trim().toLowerCase()
  return {
    whole,
    media: (whole.split(';')[0] ?? '').trim().toLowerCase(),
    charset: /;\s*charset\s*=\s*"?([^";\s]+)/i.exec(whole)?.[1]?.toLowerCase() ?? '',
    encoding: encoding === 'identity' ? '' : encoding,
  }
}

async function partsOf(
  body: RequestBody,
  type: ContentType,
): Promise<FingerprintParts | undefined> {
  switch (body.kind) {
    case 'none':
    case 'too_large':
      return ['none']
    case 'bytes':
      if (body.bytes.length === 0) return ['none']
      return (await meaningOf(body.bytes, type)) ?? bytesParts(body.bytes, type)
    case 'parsed':
      return parsedParts(body.value, type)
  }
}

/** The body by what it means. Undefined: by its bytes. */
async function meaningOf(
  bytes: Uint8Array,
  type: ContentType,
): Promise<FingerprintParts | undefined> {
  if (type.encoding !== '') return undefined
  if (type.media === 'multipart/form-data') return await multipartParts(bytes, type)
  const isForm = type.media === FORM
  if (!isForm && !isJson(type.media)) return undefined
  const text = textOf(bytes)
  if (text === undefined) return undefined
  const meaning = isForm ? pairsOfText(text) : canonicalText(text)
  return meaning === undefined ? undefined : [isForm ? 'form' : 'json', type.media, meaning]
}

const FORM = 'application/x-www-form-urlencoded'

function isJson(media: string): boolean {
  return media === 'application/json' || media.endsWith('+json')
}

function bytesParts(
  bytes: Uint8Array,
  { media, charset, encoding }: ContentType,
): FingerprintParts {
  return ['bytes', media, charset, encoding, bytes]
}

/** Undefined: nested deeper than it can be walked. */
function parsedParts(value: unknown, type: ContentType): FingerprintParts | undefined {
  if (value === undefined) return ['none']
  if (value instanceof Uint8Array) return bytesParts(value, type)
  if (typeof value === 'string' && !isJson(type.media))
    return bytesParts(Buffer.from(value), { ...type, encoding: '' })
  const pairs = type.media === FORM ? pairsOfParsed(value) : undefined
  if (pairs !== undefined) return ['form', type.media, pairs]
  try {
    return ['json', type.media, canonicalJson(value)]
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
  }
  try {
    // A lone surrogate has no canonical form; escaped it is still told apart.
    return ['json-text', type.media, JSON.stringify(value)]
  } catch {
    return undefined
  }
}

/** The parts of a form in their order; the boundary is the client library's business, and new in each attempt. */
async function multipartParts(
  bytes: Uint8Array,
  type: ContentType,
): Promise<FingerprintParts | undefined> {
  const parts: (string | Uint8Array)[] = ['multipart']
  try {
    const headers = { 'content-type': type.whole }
    const form = await new Response(bytes as Uint8Array<ArrayBuffer>, { headers }).formData()
    for (const [name, value] of form) {
      if (typeof value === 'string') parts.push('field', name, '', '', value)
      else
        parts.push('file', name, value.name, value.type, new Uint8Array(await value.arrayBuffer()))
    }
  } catch {
    return undefined
  }
  // Bytes that were no UTF-8 were replaced, and could be any.
  return parts.some((part) => typeof part === 'string' && part.includes('\ufffd'))
    ? undefined
    : parts
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

/**
 * The `Idempotency-Key` header: a quoted RFC 9651 String, as the draft says, or the bare key that most clients send.
 * Both are the same key. Read before anything else, and never looked up when it is not valid.
 * Conformance 1–5, 9.
 */
import { parseItem } from 'structured-headers'
import { KeyInvalidError } from '../core/errors.ts'
import { checkKey } from '../core/identity.ts'

/** What a route says about the header. */
export interface HeaderRules {
  /** Only the quoted form. */
  readonly strictHeader: boolean
  /** Characters. */
  readonly keyMax: number
}

/** What the header says. `why` never holds the key. */
export type HeaderReading =
  | { readonly kind: 'key'; readonly key: string }
  | { readonly kind: 'missing' }
  | { readonly kind: 'invalid'; readonly why: string }

// Visible ASCII without comma and double quote: `a, b` may be two header lines that a proxy joined.
const BARE = /^[\x21\x23-\x2b\x2d-\x7e]+$/

/**
 * Reads the key out of the header's field lines.
 *
 * @param lines - one entry for each line the client sent; where lines were joined on the way, the joined value
 */
export function readKey(lines: readonly string[], rules: HeaderRules): HeaderReading {
  const [line, ...more] = lines
  if (line === undefined) return { kind: 'missing' }
  if (more.length > 0) return invalid('the header was sent more than once.')
  const value = trimmed(line)
  if (value === '') return invalid('the header is empty; send a fresh UUID for each request.')
  if (value.startsWith('"')) return quoted(value, rules.keyMax)
  if (rules.strictHeader)
    return invalid('expected a quoted string (RFC 9651), like "8e03978e-40d5".')
  if (!BARE.test(value)) {
    return invalid(
      'an unquoted key holds printable ASCII without spaces, commas and double quotes; send it once, or quoted.',
    )
  }
  return checked(value, rules.keyMax)
}

/** Without spaces and tabs at the ends; `trim()` takes more than those, and a pattern is quadratic here. */
function trimmed(line: string): string {
  const isBlank = (at: number): boolean => line[at] === ' ' || line[at] === '\t'
  let from = 0
  let to = line.length
  while (isBlank(from)) from++
  while (to > from && isBlank(to - 1)) to--
  return line.slice(from, to)
}

function quoted(value: string, keyMax: number): HeaderReading {
  try {
    const item: unknown = parseItem(value)[0]
    return typeof item === 'string' ? checked(item, keyMax) : invalid(NOT_A_STRING)
  } catch {
    return invalid(NOT_A_STRING)
  }
}

const NOT_A_STRING = 'it begins with a double quote and is not one quoted string (RFC 9651).'

function checked(key: string, keyMax: number): HeaderReading {
  try {
    checkKey(key, keyMax)
    return { kind: 'key', key }
  } catch (error) {
    if (!(error instanceof KeyInvalidError)) throw error
    return invalid(error.message.replace(/^PAWL key_invalid: /, ''))
  }
}

function invalid(why: string): HeaderReading {
  return { kind: 'invalid', why }
}

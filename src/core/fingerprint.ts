/**
 * The fingerprint: a versioned digest of the request that first used a key. Another request with that key is a
 * mismatch. Keyed (HMAC) when a secret is given, because the plain hash of a low-entropy body (a PIN, an amount) can
 * be found by trying.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import canonicalize from 'canonicalize'
import { ConfigError } from './errors.ts'
import { digestOf, lengthPrefixed, type Parts } from './length-prefixed.ts'

/** Grows by one when what is digested changes; a stored fingerprint keeps the version it was made with. */
const VERSION = 'v1'

/** The parts of a request, in a fixed order; text or bytes. Length-prefixed before they are digested. */
export type FingerprintParts = Parts

/** A request's fingerprint, ready to be stored and to be compared with a stored one. */
export interface Fingerprint {
  /** What is stored: `v1:` and 64 hex digits. */
  readonly value: string
  /** True when `stored` is the fingerprint of this very request, also under an older secret. */
  matches(stored: string): boolean
}

/**
 * Digests the parts of a request.
 *
 * @param secrets - HMAC secrets, newest first: the first one signs, all of them are accepted. None: plain SHA-256
 */
export function fingerprintOf(parts: FingerprintParts, secrets: readonly string[]): Fingerprint {
  const value = digest(parts, secrets[0])
  return {
    value,
    matches: (stored) =>
      equal(stored, value) ||
      secrets.slice(1).some((secret) => equal(stored, digest(parts, secret))),
  }
}

/**
 * RFC 8785 canonical JSON: the same text for the same value, whatever the order of members or the spelling of numbers.
 *
 * @throws {@link ConfigError} the value is not JSON
 */
export function canonicalJson(value: unknown): string {
  let text: string | undefined
  try {
    text = canonicalize(value)
  } catch (error) {
    throw new ConfigError(
      `input: expected JSON, got ${error instanceof Error ? error.message : String(error)}.`,
    )
  }
  return text ?? 'null'
}

function digest(parts: FingerprintParts, secret: string | undefined): string {
  const hex =
    secret === undefined
      ? digestOf(parts)
      : createHmac('sha256', secret).update(lengthPrefixed(parts)).digest('hex')
  return `${VERSION}:${hex}`
}

function equal(a: string, b: string): boolean {
  const left = Buffer.from(a)
  const right = Buffer.from(b)
  return left.length === right.length && timingSafeEqual(left, right)
}

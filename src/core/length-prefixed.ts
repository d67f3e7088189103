/** Parts as one run of bytes in which no two lists of parts look alike: each is preceded by its length. */
import { hash } from 'node:crypto'

const PREFIX_BYTES = 4

/** Text is taken as UTF-8. */
export type Parts = readonly (string | Uint8Array)[]

/** SHA-256 of {@link lengthPrefixed} parts, in hex digits. */
export function digestOf(parts: Parts): string {
  return hash('sha256', shortText(parts) ?? lengthPrefixed(parts), 'hex')
}

/** The bytes themselves. */
export function lengthPrefixed(parts: Parts): Buffer {
  const size = (part: string | Uint8Array): number =>
    typeof part === 'string' ? Buffer.byteLength(part) : part.length
  const bytes = Buffer.allocUnsafe(parts.reduce((sum, part) => sum + PREFIX_BYTES + size(part), 0))
  let at = 0
  for (const part of parts) {
    const length = size(part)
    at = bytes.writeUInt32BE(length, at)
    if (typeof part === 'string') bytes.write(part, at)
    else bytes.set(part, at)
    at += length
  }
  return bytes
}

const LENGTH_MAX = 0x7f
const PREFIXES = Array.from(
  { length: LENGTH_MAX + 1 },
  (_, length) => `\0\0\0${String.fromCharCode(length)}`,
)

/** Lengths below 128 are ASCII, so that short texts need no buffer, which costs twice the digest of them. */
function shortText(parts: Parts): string | undefined {
  let text = ''
  for (const part of parts) {
    if (typeof part !== 'string' || part.length > LENGTH_MAX) return undefined
    const prefix = PREFIXES[Buffer.byteLength(part)]
    if (prefix === undefined) return undefined
    text += prefix + part
  }
  return text
}

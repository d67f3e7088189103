/** Parts as one run of bytes in which no two lists of parts look alike: each is preceded by its length. */

const PREFIX_BYTES = 4

/** Text is taken as UTF-8. */
export function lengthPrefixed(parts: readonly (string | Uint8Array)[]): Buffer {
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

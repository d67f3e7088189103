/** Goal: the digests of stored records never change, whichever way they are made. */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { digestOf, lengthPrefixed } from '../../../src/core/length-prefixed.ts'

type Part = string | Uint8Array

/** From the bytes, one part after the other. */
function ofBytes(parts: readonly Part[]): string {
  const sha = createHash('sha256')
  for (const part of parts) {
    const bytes = Buffer.from(part)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    sha.update(length).update(bytes)
  }
  return sha.digest('hex')
}

const part: fc.Arbitrary<Part> = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 140 }),
  fc.string({ unit: 'grapheme', minLength: 30, maxLength: 70 }),
  fc.uint8Array({ maxLength: 140 }),
)

test('a digest is that of the parts, each behind its length in four bytes', () => {
  fc.assert(
    fc.property(fc.array(part, { maxLength: 4 }), (parts) => {
      expect(digestOf(parts)).toBe(ofBytes(parts))
      expect(createHash('sha256').update(lengthPrefixed(parts)).digest('hex')).toBe(ofBytes(parts))
    }),
    { numRuns: 2_000 },
  )
})

test.each([0, 1, 126, 127, 128, 255, 256])(
  'also of %i characters of one byte, or of two',
  (length) => {
    for (const text of ['a'.repeat(length), 'é'.repeat(length / 2), '\0'.repeat(length)]) {
      expect(digestOf(['x', text, 'y'])).toBe(ofBytes(['x', text, 'y']))
    }
  },
)

test('half a character is as the bytes have it, and joins no half of the next part', () => {
  const parts = ['\ud83d', '\ude00', 'x\ud83d']
  expect(digestOf(parts)).toBe(ofBytes(parts))
})

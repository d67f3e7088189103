/** The ids of Medusa's entities: a prefix and a ULID, 48 bits of time and 80 random ones (github.com/ulid/spec). */
import { randomBytes } from 'node:crypto'

const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

/** A fresh id: `ikey_01J…`. */
export function keyId(): string {
  let value = BigInt(Date.now())
  for (const byte of randomBytes(10)) value = (value << 8n) | BigInt(byte)
  let digits = ''
  for (let at = 0; at < 26; at++) {
    digits = `${DIGITS[Number(value & 31n)] ?? ''}${digits}`
    value >>= 5n
  }
  return `ikey_${digits}`
}

/** The ids of Medusa's entities: a prefix and a ULID, 48 bits of time and 80 random ones (github.com/ulid/spec). */
import { randomBytes } from 'node:crypto'

const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const TIME_DIGITS = 10
const RANDOM_DIGITS = 16

/** A fresh id: `ikey_01J…`. */
export function keyId(): string {
  let time = ''
  for (let rest = Date.now(); time.length < TIME_DIGITS; rest = Math.floor(rest / 32)) {
    time = DIGITS.charAt(rest % 32) + time
  }
  let random = ''
  for (const byte of randomBytes(RANDOM_DIGITS)) random += DIGITS.charAt(byte % 32)
  return `ikey_${time}${random}`
}

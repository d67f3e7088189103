/**
 * Canonical JSON of a text, where parsing loses nothing. Where it would (members of one name, numbers longer than a
 * double), two different requests could look the same, so there is no canonical form and the caller compares bytes.
 * Conformance 21.
 */
import { canonicalJson } from '../core/fingerprint.ts'

/** RFC 8785 canonical JSON, or undefined where the text is not JSON or the value would not carry all of it. */
export function canonicalText(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text)
    const seen = scan(text)
    if (seen === undefined || seen !== membersOf(value)) return undefined
    return canonicalJson(value)
  } catch {
    return undefined
  }
}

/** Counts the members written in a valid JSON text. Undefined: a number in it does not survive. */
function scan(text: string): number | undefined {
  let members = 0
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char === '"') {
      for (at++; text[at] !== '"'; at++) if (text[at] === '\\') at++
    } else if (char === ':') {
      members++
    } else if (char === '-' || (char !== undefined && char >= '0' && char <= '9')) {
      const start = at
      while (at + 1 < text.length && '0123456789.eE+-'.includes(text[at + 1] ?? ' ')) at++
      if (!survives(text.slice(start, at + 1))) return undefined
    }
  }
  return members
}

/** A double printed as short as can be is the very decimal that was written; 9007199254740993 is not. */
function survives(number: string): boolean {
  return decimal(number) === decimal(String(Number(number)))
}

/** A decimal's digits without zeros at the ends, and its power of ten. In loops: `/0+$/` is quadratic in the zeros. */
function decimal(number: string): string {
  const [mantissa = '', power = '0'] = number.toLowerCase().split('e')
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.')
  const digits = whole + fraction
  let from = 0
  let to = digits.length
  while (from < to && digits[from] === '0') from++
  while (to > from && digits[to - 1] === '0') to--
  if (from === to) return '0'
  const exponent = Number(power) - fraction.length + digits.length - to
  return `${number.startsWith('-') ? '-' : ''}${digits.slice(from, to)}e${exponent}`
}

function membersOf(value: unknown): number {
  let members = 0
  const open: unknown[] = [value]
  while (open.length > 0) {
    const next = open.pop()
    if (typeof next !== 'object' || next === null) continue
    const inside: unknown[] = Object.values(next)
    if (!Array.isArray(next)) members += inside.length
    for (const one of inside) open.push(one)
  }
  return members
}

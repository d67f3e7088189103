/**
 * Queries and forms, compared decoded and in any order of names; the order of one name's values stays. What a body
 * parser made of a form is written the same way, so that mounting order does not change a fingerprint.
 * Conformance 22.
 */

type Pair = readonly [name: string, value: string]

/** The pairs of a query or form as one text. Undefined where decoding loses bytes: compare the text itself then. */
export function pairsOfText(text: string): string | undefined {
  const pairs = [...new URLSearchParams(text)]
  if (pairs.some(([name, value]) => name.includes('\ufffd') || value.includes('\ufffd')))
    return undefined
  return sorted(pairs)
}

/** The same of a parsed form. Undefined where it holds what no form text can (a parser of its own kind). */
export function pairsOfParsed(value: unknown): string | undefined {
  const pairs: Pair[] = []
  return typeof value === 'object' && collect(pairs, '', value) ? sorted(pairs) : undefined
}

/** `{ a: { b: '1' } }` is `a[b]=1`; `{ a: ['1', '2'] }` is `a=1&a=2`; a list of one can only have been `a[]=1`. */
function collect(pairs: Pair[], name: string, value: unknown): boolean {
  if (typeof value === 'string') {
    pairs.push([name, value])
    return true
  }
  if (Array.isArray(value)) {
    const inside =
      value.length === 1 || value.some((one) => typeof one !== 'string') ? `${name}[]` : name
    return value.every((one) => collect(pairs, inside, one))
  }
  if (typeof value !== 'object' || value === null) return false
  return Object.entries(value).every(([member, one]) =>
    collect(pairs, name === '' ? member : `${name}[${member}]`, one),
  )
}

function sorted(pairs: readonly Pair[]): string {
  return JSON.stringify(pairs.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
}

/**
 * The numbers of rules in the titles of tests: `'19 · …'` is one rule's, `'28, 30 · …'` and `'41–43 · …'` are several
 * rules'.
 */

const TITLE = /^((?:\d+(?:\s*[–-]\s*\d+)?\s*,\s*)*\d+(?:\s*[–-]\s*\d+)?) · \S/

/** Both ends are in it. */
export function range(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index)
}

/** The numbers that open a title. */
export function numbersOf(title: string): readonly number[] {
  const [, list = ''] = TITLE.exec(title) ?? []
  return list.split(',').flatMap((part) => {
    const [from, to] = part.split(/[–-]/).map((text) => Number.parseInt(text, 10))
    if (from === undefined || Number.isNaN(from)) return []
    return range(from, to ?? from)
  })
}

/** `1–33, 35`. */
export function rangesOf(numbers: Iterable<number>): string {
  const runs: [from: number, to: number][] = []
  for (const number of [...new Set(numbers)].toSorted((a, b) => a - b)) {
    const last = runs.at(-1)
    if (last?.[1] === number - 1) last[1] = number
    else runs.push([number, number])
  }
  return runs.map(([from, to]) => (from === to ? String(from) : `${from}–${to}`)).join(', ')
}

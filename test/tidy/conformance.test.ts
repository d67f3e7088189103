/**
 * Goal: no rule goes untested. Method: the numbers that open the titles of test/conformance are collected, and every
 * rule of the list must be among them. `'19 · …'` is one rule's, `'28, 30 · …'` and `'41–43 · …'` are several rules'.
 */
import { expect, test } from 'vitest'
import { below, literalsOf, tree, type TreeFile } from './tree.ts'

/** The others need what is not there yet: 34 the reaper, 45 PgBouncer, 46 an application's rights, 47 the completer. */
const RULES: readonly number[] = [...range(1, 33), ...range(35, 44)]
const TITLE = /^((?:\d+(?:\s*[–-]\s*\d+)?\s*,\s*)*\d+(?:\s*[–-]\s*\d+)?) · \S/

function range(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index)
}

/** The numbers that open a title. */
function numbersOf(title: string): readonly number[] {
  const [, list = ''] = TITLE.exec(title) ?? []
  return list.split(',').flatMap((part) => {
    const [from, to] = part.split(/[–-]/).map((text) => Number.parseInt(text, 10))
    if (from === undefined || Number.isNaN(from)) return []
    return range(from, to ?? from)
  })
}

function coveredBy(files: readonly TreeFile[]): ReadonlySet<number> {
  return new Set(files.flatMap(literalsOf).flatMap(({ text }) => numbersOf(text)))
}

test('every rule has a test that carries its number', () => {
  const files = below(tree(), 'test/conformance', ['.test.ts'])
  const covered = coveredBy(files)
  expect(RULES.filter((rule) => !covered.has(rule))).toEqual([])
})

test.each([
  ['19 · same key, other payload → 422', [19]],
  ['28, 30 · a hundred at once', [28, 30]],
  ['41–43 · faults', [41, 42, 43]],
  ['the 19 · is not at the start', []],
  ['19: another form', []],
  ['19 · ', []],
])('%s', (title, numbers) => {
  expect(numbersOf(title)).toEqual(numbers)
})

test('a title that is only a comment does not count', () => {
  const text = "// test('7 · later', () => {})\ntest('8 · now', () => {})"
  expect([...coveredBy([{ path: 'planted.test.ts', text }])]).toEqual([8])
})

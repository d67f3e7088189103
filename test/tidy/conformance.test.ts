/**
 * Goal: no rule goes untested. Method: the numbers that open the titles of test/conformance, and of the stores on
 * clusters, are collected, and every rule of the list must be among them.
 */
import { expect, test } from 'vitest'
import { numbersOf, range } from '../support/rules.ts'
import { below, literalsOf, tree, type TreeFile } from './tree.ts'

/** The others need what is not there yet: 34 the reaper, 46 an application's rights, 47 the completer. */
const RULES: readonly number[] = [...range(1, 33), ...range(35, 45)]
function coveredBy(files: readonly TreeFile[]): ReadonlySet<number> {
  return new Set(files.flatMap(literalsOf).flatMap(({ text }) => numbersOf(text)))
}

test('every rule has a test that carries its number', () => {
  const files = ['test/conformance', 'test/contract'].flatMap((folder) =>
    below(tree(), folder, ['.test.ts']),
  )
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

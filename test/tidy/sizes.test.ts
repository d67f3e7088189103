/** Goal: files stay small enough to be read in one go. Method: lines are counted, also of what lint does not see. */
import { describe, expect, test } from 'vitest'
import { below, linesOf, tree, type TreeFile } from './tree.ts'

const LINES_MAX: Readonly<Record<string, number>> = {
  src: 400,
  'src/databases': 80,
  'src/frameworks': 120,
  examples: 80,
}
const COLUMNS_MAX = 120

const files = tree()

function tooLong(of: readonly TreeFile[], max: number): readonly string[] {
  return of.flatMap(({ path, text }) => {
    const count = linesOf(text).length
    return count > max ? [`${path}: ${count} lines, at most ${max}`] : []
  })
}

function tooWide(of: readonly TreeFile[]): readonly string[] {
  return of.flatMap(({ path, text }) =>
    linesOf(text).flatMap((line, index) =>
      [...line].length > COLUMNS_MAX ? [`${path}:${index + 1} ${[...line].length} columns`] : [],
    ),
  )
}

describe('lines of a file', () => {
  test.each(Object.entries(LINES_MAX))('below %s: at most %i', (folder, max) => {
    expect(tooLong(below(files, folder), max)).toEqual([])
  })
})

// Of sources only: the titles of tests are sentences, and are not broken over lines.
test(`columns of a line below src: at most ${COLUMNS_MAX}`, () => {
  expect(tooWide(below(files, 'src'))).toEqual([])
})

test('the counts catch what they are for', () => {
  expect(tooLong([{ path: 'a.ts', text: 'x\n'.repeat(81) }], 80)).toHaveLength(1)
  expect(tooLong([{ path: 'a.ts', text: 'x\n'.repeat(80) }], 80)).toEqual([])
  expect(tooWide([{ path: 'a.ts', text: 'x'.repeat(121) }])).toHaveLength(1)
})

/**
 * Goal: no promise without a test. Method: each rule that the README's table of guarantees names must open the title of
 * a test in the files it links to.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT } from './markdown.ts'

interface Promised {
  readonly promise: string
  readonly rules: readonly number[]
  readonly links: readonly string[]
}

function promises(): readonly Promised[] {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const [, table = ''] = /\n\| promise \|[^\n]*\n\|[-|]+\|\n((?:\|[^\n]*\n)+)/.exec(readme) ?? []
  return table
    .trim()
    .split('\n')
    .map((row) => {
      const [, promise = '', rules = '', held = ''] = row.split('|').map((cell) => cell.trim())
      const links = [...held.matchAll(/\]\(([^)]+)\)/g)].map(([, link = '']) => link)
      return { promise, rules: numbersOf(rules), links }
    })
}

/** `'36, 41–43'` is 36, 41, 42, 43. */
function numbersOf(list: string): readonly number[] {
  return list.split(',').flatMap((part) => {
    const [from = NaN, to = from] = part.split(/[–-]/).map((text) => Number.parseInt(text, 10))
    return Array.from({ length: to - from + 1 }, (_, index) => from + index)
  })
}

/** The rules that the tests of a file or folder open their titles with. */
function rulesIn(path: string): readonly number[] {
  const whole = join(ROOT, path)
  const files = statSync(whole).isDirectory()
    ? readdirSync(whole, { recursive: true, encoding: 'utf8' }).map((name) => join(whole, name))
    : [whole]
  return files
    .filter((file) => /(?:\.test|-cases)\.ts$/.test(file))
    .flatMap((file) => [...readFileSync(file, 'utf8').matchAll(/['"`]([\d, –-]*\d) · \S/g)])
    .flatMap(([, list = '']) => numbersOf(list))
}

test('the table is read', () => {
  expect(promises().length).toBeGreaterThan(5)
  expect(numbersOf('36, 41–43')).toEqual([36, 41, 42, 43])
})

test.each(promises().map((one) => [one.promise, one] as const))('%s', (_, { rules, links }) => {
  expect(rules.length).toBeGreaterThan(0)
  const held = new Set(links.flatMap(rulesIn))
  expect(rules.filter((rule) => !held.has(rule))).toEqual([])
})

/**
 * Goal: words that promise too much, or tell of the machine they were written on, never get in. Method: patterns over
 * every file of the tree. Each pattern is put together here, so that this file needs no exception.
 */
import { describe, expect, test } from 'vitest'
import { below, findings, tree, type TreeFile } from './tree.ts'

/** Between two words: blanks, hyphens, and what a comment or a quotation puts at the start of a line. */
const GAP = '(?:[\\s\\-\\u2010-\\u2015*/#>|+\'"`]|&nbsp;)+'

const BANNED: Readonly<Record<string, RegExp>> = {
  'a promise that nobody can keep': new RegExp(`\\bexactly${GAP}once\\b`, 'iu'),
  'a standard that does not exist': new RegExp(`\\bRFC${GAP}complian(?:t|ce)\\b`, 'iu'),
  'a likeness without a version': new RegExp(`\\bStripe${GAP}compatib(?:le|ility)\\b`, 'iu'),
}

const UNFINISHED = new RegExp(`\\b(?:${['FIX', 'XX'].join('ME|')}X)\\b`, 'u')
const SKIPPED = new RegExp(
  `\\b(?:it|test|describe|suite)(?:\\.\\w+)*\\.(?:${['skip', 'skipIf', 'runIf', 'only', 'todo'].join('|')})\\b`,
  'u',
)
const IGNORED = new RegExp(`@ts-${'ignore'}\\b|@ts-${'nocheck'}\\b`, 'u')
const DEFAULT_EXPORT = /^export default\b|\bas default\b/mu
/** Folders of somebody's machine. */
const MACHINE = new RegExp(
  `(?<![\\w.@-])/(?:${['work', 'root', 'home/\\w+', 'Users/\\w+'].join('|')})/`,
  'u',
)
const REGISTRY = new RegExp(
  `\\b(?:registry|npm|artifactory|nexus|verdaccio)\\.[\\w-]+\\.\\w+`,
  'iu',
)

const files = tree()
const sources = below(files, 'src')
const tests = below(files, 'test')

function all(of: readonly TreeFile[], pattern: RegExp): readonly string[] {
  return of.flatMap((file) => findings(file, pattern))
}

describe('in every file', () => {
  test.each(Object.entries(BANNED))('no %s', (_, pattern) => {
    expect(all(files, pattern)).toEqual([])
  })

  test('no path of a machine, and no registry', () => {
    expect(all(files, MACHINE)).toEqual([])
    expect(all(files, REGISTRY)).toEqual([])
  })

  test('nothing marked as unfinished', () => {
    const written = files.filter(({ path }) => path !== 'package-lock.json')
    expect(all(written, UNFINISHED)).toEqual([])
  })
})

test('in tests: none is skipped, none runs alone', () => {
  expect(tests.length).toBeGreaterThan(10)
  expect(all(tests, SKIPPED)).toEqual([])
})

test('in sources: no default export, no silenced compiler', () => {
  expect(sources.length).toBeGreaterThan(30)
  expect(all(sources, DEFAULT_EXPORT)).toEqual([])
  expect(all([...sources, ...tests], IGNORED)).toEqual([])
})

describe('the patterns catch what they are for', () => {
  const [promise, standard, likeness] = Object.values(BANNED)
  const planted: readonly (readonly [string, RegExp | undefined, string])[] = [
    ['the promise', promise, ['Runs exactly', 'once.'].join(' ')],
    ['the promise with a hyphen', promise, ['EXACTLY', 'ONCE'].join('-')],
    ['the promise over two lines of a comment', promise, [' * exactly', ' * once'].join('\n')],
    ['the standard', standard, ['RFC', 'compliant'].join(' ')],
    ['the likeness', likeness, ['stripe', 'compatible'].join('-')],
    ['a mark', UNFINISHED, `// ${['FIX', 'ME'].join('')}: later`],
    ['another mark', UNFINISHED, `// ${'X'.repeat(3)}`],
    ['a skipped test', SKIPPED, ['test', 'skip("a")'].join('.')],
    ['a lone test of a table', SKIPPED, ['test', 'only', 'each([])'].join('.')],
    ['a test to be written', SKIPPED, ['it', 'todo("a")'].join('.')],
    ['a silenced line', IGNORED, ['// @ts', 'ignore'].join('-')],
    ['a default export', DEFAULT_EXPORT, 'export default function a() {}'],
    ['a path', MACHINE, ['cd ', 'work', 'main'].join('/')],
    ['a registry', REGISTRY, `https://${['registry', 'example', 'org'].join('.')}/pawl`],
  ]

  test.each(planted)('%s', (_, pattern, text) => {
    expect(pattern).toBeDefined()
    expect(findings({ path: 'planted.ts', text }, pattern ?? /$^/)).toHaveLength(1)
  })

  test.each([
    ['one of them', promise, 'exactly one row'],
    ['a count of once', promise, 'called once, exactly as documented'],
    ['a name of a version', likeness, 'as in Stripe v2'],
    ['a URL with the word', MACHINE, `https://example.com/${'work'}/1`],
  ])('and let pass %s', (_, pattern, text) => {
    expect(findings({ path: 'planted.ts', text }, pattern ?? /$^/)).toEqual([])
  })
})

/**
 * Goal: no link of the documentation leads nowhere. Method: every relative link of every page, and every page that a
 * source file names, is looked up: the file, and the heading behind the `#`.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { describe, expect, test } from 'vitest'
import { anchorsOf, type Page, pages, prose, ROOT } from './markdown.ts'

const all = pages()
const byPath = new Map(all.map((page) => [page.path, page]))

function exists(path: string): boolean {
  return statSync(join(ROOT, path), { throwIfNoEntry: false }) !== undefined
}

/** What is wrong with a link, seen from a file; undefined: nothing. */
function fault(from: string, link: string): string | undefined {
  const [target = '', anchor] = link.split('#')
  const path = target === '' ? from : posix.normalize(posix.join(dirname(from), target))
  if (path.startsWith('..')) return `${link}: leaves the project`
  if (!exists(path)) return `${link}: no such file`
  if (anchor === undefined) return undefined
  const page = byPath.get(path)
  if (page === undefined) return `${link}: an anchor in a file that is no page`
  return anchorsOf(page).has(anchor) ? undefined : `${link}: no such heading`
}

function linksOf(page: Page): readonly string[] {
  return [...prose(page).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link = '']) => link)
    .filter((link) => !/^[a-z]+:/.test(link))
}

describe('relative links', () => {
  test.each(all.map((page) => [page.path, page] as const))('of %s lead somewhere', (_, page) => {
    expect(linksOf(page).flatMap((link) => fault(page.path, link) ?? [])).toEqual([])
  })
})

test('every page that a source file names is there, with its heading', () => {
  const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.ts'),
  )
  const faults = files.flatMap((name) => {
    const text = readFileSync(join(ROOT, 'src', name), 'utf8')
    return [...text.matchAll(/\b(docs\/[\w/-]+\.md(?:#[\w-]+)?)/g)].flatMap(([, link = '']) => {
      const wrong = fault('README.md', link)
      return wrong === undefined ? [] : [`src/${name}: ${wrong}`]
    })
  })
  expect(faults).toEqual([])
})

test('every decision record that a source file names is there', () => {
  const records = readdirSync(join(ROOT, 'docs', 'adr')).map((name) => name.slice(0, 4))
  const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.ts'),
  )
  const named = files.flatMap((name) =>
    [...readFileSync(join(ROOT, 'src', name), 'utf8').matchAll(/\bADR (\d{4})\b/g)].map(
      ([, number = '']) => number,
    ),
  )
  expect(named.filter((number) => !records.includes(number))).toEqual([])
})

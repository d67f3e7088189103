/**
 * Goal: a figure in the text is one that was measured. Method: what pages say is made once more from the JSON of
 * `npm run bench` that they name.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Engines } from '../../bench/engines.ts'
import { enginesTable } from '../../bench/report.ts'
import type { Comparison } from '../../bench/slices.ts'
import { type Results as Tabled, TABLES } from '../../bench/tables.ts'
import { pages, ROOT } from './markdown.ts'

/** What `--json` writes, as far as text quotes it. */
interface Results extends Tabled {
  readonly engines?: Engines
}

const QUOTED = /<!-- quoted from (\S+): begin -->\n\n([\s\S]*?)\n\n<!-- quoted: end -->/g

const all = pages()

function results(path: string): Results {
  return JSON.parse(readFileSync(join(ROOT, path), 'utf8')) as Results
}

/** As a page has it: words may be broken over lines anywhere. */
function textOf(path: string): string {
  const page = all.find((one) => one.path === path)
  if (page === undefined) throw new Error(`${path}: no such page`)
  return page.text.replace(/\s+/g, ' ')
}

function comparison(path: string, guarded: string, bare: string): Comparison {
  const found = results(path).comparisons.find(
    (one) => one.guarded === guarded && one.bare === bare && one.concurrency === 32,
  )
  if (found === undefined) throw new Error(`${path}: no ${guarded} ÷ ${bare} at 32 concurrent`)
  return found
}

describe('tables', () => {
  const quotes = all.flatMap(({ path, text }) =>
    [...text.matchAll(QUOTED)].map(
      ([, json = '', table = '']) => [`${path}, of ${json}`, json, table] as const,
    ),
  )

  test('there are that of the engines, and those of performance', () => {
    expect(quotes.map(([title]) => title)).toEqual([
      'docs/databases.md, of bench/results/2026-11-25-engines.json',
      'docs/performance.md, of bench/results/2026-11-26-requests.json#comparisons',
      'docs/performance.md, of bench/results/2026-11-26-cpu.json#cpu',
      'docs/performance.md, of bench/results/2026-11-26-steps.json#comparisons',
      'docs/performance.md, of bench/results/2026-11-26-requests.json#peers',
      'docs/performance.md, of bench/results/2026-11-26-requests.json#replays',
      'docs/performance.md, of bench/results/2026-11-26-requests-node-24.json#comparisons',
      'docs/performance.md, of bench/results/2026-11-26-cpu-node-24.json#cpu',
      'docs/performance.md, of bench/results/2026-11-26-requests-node-24.json#replays',
      'docs/performance.md, of bench/results/2026-11-26-growth.json#growth',
      'docs/performance.md, of bench/results/2026-11-26-growth.json#disk',
    ])
  })

  test.each(quotes)('%s', (_, quoted, table) => {
    const [json = '', name] = quoted.split('#')
    const { engines, ...found } = results(json)
    const made = name === undefined ? engines && enginesTable(engines) : TABLES[name]?.(found)
    if (made === undefined) throw new Error(`${quoted}: there is no such table`)
    expect(table).toBe(made)
  })
})

test('every file of results that a page names is there', () => {
  const named = all.flatMap(({ text }) => text.match(/bench\/results\/[\w.-]+\.json/g) ?? [])
  expect(named.length).toBeGreaterThan(0)
  for (const path of named) expect(() => results(path)).not.toThrow()
})

test('ADR 0020 quotes its run', () => {
  const json = 'bench/results/2026-11-24-medusa.json'
  const page = textOf('docs/adr/0020-typeorm-without-its-query.md')
  const ours = comparison(json, 'pawl/medusa', '@medusajs/medusa')
  const bare = comparison(json, 'pawl/medusa', 'stages alone')
  const routes = comparison(json, 'pawl/medusa, routes', '@medusajs/medusa, routes')
  const routesBare = comparison(json, 'pawl/medusa, routes', 'stages alone, routes')
  const [least, most] = [ours.ratioMin.toFixed(1), ours.ratioMax.toFixed(1)]
  expect(page).toContain(
    `${ours.ratio.toFixed(1)} times the published service (${least}–${most}) and ` +
      `${bare.ratio.toFixed(2)} of the bare stages`,
  )
  const inRoutes = `${routes.ratio.toFixed(1)} times and ${routesBare.ratio.toFixed(2)}`
  expect(page).toContain(`In transactions that a route opens, ${inRoutes} (${json})`)
})

test('ADR 0017 quotes its run', () => {
  const json = 'bench/results/2026-11-24-first-request.json'
  const page = textOf('docs/adr/0017-fence-and-commit-in-one-message.md')
  const overHttp = comparison(json, 'Express, with Pawl', 'Express, route alone')
  const engine = comparison(json, 'with Pawl', 'handler alone')
  expect(page).toContain(`to ${overHttp.ratio.toFixed(2)} of the bare handler over Express`)
  expect(page).toContain(`to ${engine.ratio.toFixed(2)} without HTTP`)
})

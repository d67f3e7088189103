/** The figures of a run, as tables for people. */
import type { EngineComparison, Engines } from './engines.ts'
import type { Comparison } from './slices.ts'

const HEAD = [
  '',
  'to',
  'concurrent',
  '/s',
  'to /s',
  'ratio',
  'lowest–highest',
  'refused',
  'to refused',
]

/** One line a comparison. */
export function tableOf(comparisons: readonly Comparison[]): string {
  const lines = comparisons.map((one) => [
    one.guarded,
    one.bare,
    String(one.concurrency),
    one.guardedRate.toFixed(0),
    one.bareRate.toFixed(0),
    one.ratio.toFixed(2),
    `${one.ratioMin.toFixed(2)}–${one.ratioMax.toFixed(2)}`,
    one.guardedRefused,
    one.bareRefused,
  ])
  const rows = [HEAD, ...lines]
  const widths = HEAD.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)) + 2)
  const line = (row: readonly string[]): string =>
    row
      .map((cell, at) => (at < 2 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join('')
  return ['', ...rows.map(line)].join('\n')
}

/** What ran under `--only engines`, with its versions and settings, and what did not. */
export function ranOf({ ran, missing, loadBefore, loadAfter }: Engines): string {
  const pairs = (record: Readonly<Record<string, string>>): string =>
    Object.entries(record)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ')
  const versions = ({ libraries }: Engines['ran'][number]): string =>
    [...new Set(Object.values(libraries))].join(', ')
  return [
    '',
    ...ran.map((one) => `${one.engine}: ${pairs(one.settings) || 'no settings'}; ${versions(one)}`),
    ...missing.map(
      ({ engine, libraries, error }) => `MISSING: ${libraries.join(', ')} on ${engine}: ${error}`,
    ),
    `load of the machine: ${String(loadBefore)} before, ${String(loadAfter)} after`,
  ].join('\n')
}

/** The same figures as docs/databases.md has them. test/docs/figures.test.ts holds that. */
export function enginesTable({ missing, comparisons }: Engines): string {
  const libraries = [...new Set(comparisons.map(({ library }) => library))]
  const rows = libraries.map((library) => {
    const figure = (step: EngineComparison['step'], concurrency: number): string => {
      const found = comparisons.find(
        (one) => one.library === library && one.step === step && one.concurrency === concurrency,
      )
      return found === undefined ? '—' : figureOf(found)
    }
    const [first] = comparisons.filter((one) => one.library === library)
    const [subpath = '', ...how] = library.split(', ')
    const on = [first?.engine, ...how].join(', ')
    return `| \`${subpath}\` | ${on} | ${figure('claim', 1)} | ${figure('claim', 32)} | ${figure('stage', 32)} |`
  })
  const lacking = missing.flatMap(({ engine, libraries }) =>
    libraries.map((library) => `| \`${library}\` | ${engine} | not run | not run | not run |`),
  )
  const head =
    '| library | on | claim, 1 at a time | claim, 32 | stage, 32 |\n|---|---|---|---|---|'
  return [head, ...rows, ...lacking].join('\n')
}

/** The median, then the lowest and the highest round. */
export function figureOf({ ratio, ratioMin, ratioMax }: Comparison): string {
  return `${ratio.toFixed(2)} (${ratioMin.toFixed(2)}–${ratioMax.toFixed(2)})`
}

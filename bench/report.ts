/** The figures of a run, as a table for people. */
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

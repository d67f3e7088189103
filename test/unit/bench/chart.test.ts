/** Goal: a chart shows what was measured. Method: bars of known ratios are read back from the picture. */
import { expect, test } from 'vitest'
import { barsOf, chartOf } from '../../../bench/chart.ts'
import { against, type Run } from '../../../bench/slices.ts'

const BARS = [
  { label: 'half', ratio: 0.5, ratioMin: 0.4, ratioMax: 0.6 },
  { label: 'whole', ratio: 1, ratioMin: 0.9, ratioMax: 1.2 },
]

test('a bar is as long as its ratio, and its whisker goes from the lowest to the highest', () => {
  const svg = chartOf('Of bare', BARS)
  const [half = Number.NaN, whole] = [...svg.matchAll(/<rect [^>]*width="([\d.]+)"/g)].map(
    ([, width]) => Number(width),
  )
  expect(whole).toBeCloseTo(half * 2, 0)
  const [, from, to] = /class="whisker"[^>]* d="M([\d.]+) [\d.]+H([\d.]+)/.exec(svg) ?? []
  expect(Number(to) - Number(from)).toBeCloseTo(half * 0.4, 0)
})

test('what is written in it cannot break it', () => {
  const svg = chartOf('<&>', [{ label: 'a < b & c', ratio: 1, ratioMin: 1, ratioMax: 1 }])
  expect(svg).toContain('a &lt; b &amp; c')
  expect(svg.replaceAll(/&(amp|lt|gt);/g, '')).not.toContain('&')
})

test('nothing measured is a chart without bars', () => {
  expect(chartOf('Of bare', [])).not.toContain('<rect')
})

test('bars are of what was compared with a bare way, by concurrency', () => {
  const run = (name: string, concurrency: number): Run => ({
    ...{ name, concurrency, rates: [1], refused: 0, made: 1 },
  })
  const comparisons = [
    against(run('with Pawl', 32), run('handler alone', 32)),
    against(run('with Pawl', 32), run('another library', 32)),
    against(run('with Pawl', 1), run('handler alone', 1)),
  ]
  expect(barsOf(comparisons).map(({ label }) => label)).toEqual([
    'with Pawl, 1 at a time',
    'with Pawl, 32 at a time',
  ])
})

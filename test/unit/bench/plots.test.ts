/** Goal: the plots show what was measured. Method: the SVG of two series is read. */
import { expect, test } from 'vitest'
import type { Series } from '../../../bench/growth.ts'
import { plotsOf } from '../../../bench/plots.ts'

const LINE = { slope: 0.02, intercept: 0, r2: 1 }
const series = (name: string, relatives: readonly number[]): Series => ({
  name,
  of: 'keys',
  reference: 1_000,
  points: relatives.map((relative, at) => ({
    x: 1_000 * 10 ** at,
    perSecond: 100 * relative,
    ...{ relative, relativeMin: relative / 2, relativeMax: relative * 2 },
  })),
  growth: LINE,
  line: LINE,
})

test('each series is a panel with a point for each x, and how its time grows', () => {
  const svg = plotsOf('Growth', [series('claim', [1, 0.9, 0.8]), series('a < b', [1, 3])])
  expect(svg.match(/<g /g)).toHaveLength(2)
  expect(svg.match(/<circle /g)).toHaveLength(5)
  expect(svg).toContain('by keys: time ∝ x^0.02')
  expect(svg).toContain('>100k<')
  expect(svg).toContain('a &lt; b')
})

test('a higher rate stands higher, and nothing leaves its panel', () => {
  const svg = plotsOf('Growth', [series('claim', [1, 4])])
  const heights = [...svg.matchAll(/cy="([\d.]+)"/g)].map(([, y]) => Number(y))
  expect(heights[1]).toBeLessThan(heights[0] ?? 0)
  const whiskers = [...svg.matchAll(/class="whisker"[^>]* d="M[\d.]+ ([\d.]+)V([\d.]+)"/g)]
  for (const [, low, high] of whiskers) {
    for (const y of [Number(low), Number(high)]) expect(y > 0 && y < 190).toBe(true)
  }
})

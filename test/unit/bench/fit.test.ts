/** Goal: growth is told as it is. Method: points of known lines and powers, exact and with noise of both signs. */
import { expect, test } from 'vitest'
import { growthOf, lineThrough, type Point } from '../../../bench/fit.ts'

test('points on a line give that line, and R² is 1', () => {
  const { slope, intercept, r2 } = lineThrough([1, 2, 5, 50].map((x): Point => [x, 3 + 0.5 * x]))
  expect(slope).toBeCloseTo(0.5)
  expect(intercept).toBeCloseTo(3)
  expect(r2).toBeCloseTo(1)
})

test('noise around a line lowers R², and leaves the slope', () => {
  const noise = [0.1, -0.1, -0.1, 0.1]
  const { slope, r2 } = lineThrough([1, 2, 3, 4].map((x, at): Point => [x, x + (noise[at] ?? 0)]))
  expect(slope).toBeCloseTo(1)
  expect(r2).toBeGreaterThan(0.98)
  expect(r2).toBeLessThan(1)
})

test('what has nothing to do with x has no slope and no R²', () => {
  const { slope, r2 } = lineThrough([
    [1, 1],
    [2, -1],
    [3, -1],
    [4, 1],
  ])
  expect(slope).toBeCloseTo(0)
  expect(r2).toBeCloseTo(0)
})

test('flat is 0, and explained by any line', () => {
  expect(growthOf([10, 100, 1_000].map((x): Point => [x, 7]))).toMatchObject({ slope: 0, r2: 1 })
})

test.each([
  ['proportional', 1],
  ['quadratic', 2],
  ['as a root', 0.5],
  ['falling', -1],
])('%s growth has the exponent %d', (_, power) => {
  const points = [1e3, 1e4, 1e5, 1e6].map((x): Point => [x, 42 * x ** power])
  expect(growthOf(points).slope).toBeCloseTo(power)
})

test('one point has no line, and 0 has no logarithm', () => {
  expect(() => lineThrough([[1, 1]])).toThrow('two different x')
  expect(() => lineThrough([])).toThrow('two different x')
  expect(() =>
    growthOf([
      [1, 0],
      [2, 1],
    ]),
  ).toThrow('above 0')
})

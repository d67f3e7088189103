/** How a figure grows: least squares, on the values or on their logarithms. */

/** A point: what was varied, and what was measured. */
export type Point = readonly [x: number, y: number]

/** y = intercept + slope · x. */
export interface Line {
  readonly slope: number
  readonly intercept: number
  /** R²: the part of the spread that the line explains. 1 where there is none to explain. */
  readonly r2: number
}

/** The line with the least squares of its distances. @throws fewer than two different x */
export function lineThrough(points: readonly Point[]): Line {
  const mean = (of: (point: Point) => number): number =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length
  const [meanX, meanY] = [mean(([x]) => x), mean(([, y]) => y)]
  const spreadX = mean(([x]) => (x - meanX) ** 2)
  if (!(spreadX > 0)) throw new Error('a line needs two different x')
  const slope = mean(([x, y]) => (x - meanX) * (y - meanY)) / spreadX
  const intercept = meanY - slope * meanX
  const spreadY = mean(([, y]) => (y - meanY) ** 2)
  const left = mean(([x, y]) => (y - intercept - slope * x) ** 2)
  return { slope, intercept, r2: spreadY > 0 ? 1 - left / spreadY : 1 }
}

/**
 * The exponent of y ∝ x^k: the slope on log-log. 0 is flat, 1 proportional.
 *
 * @throws a value that has no logarithm, or fewer than two different x
 */
export function growthOf(points: readonly Point[]): Line {
  if (points.some(([x, y]) => !(x > 0 && y > 0))) throw new Error('growth needs values above 0')
  return lineThrough(points.map(([x, y]) => [Math.log(x), Math.log(y)]))
}

/**
 * Fair comparison on a machine that drifts: the ways are run in short alternating slices, each round gives one ratio,
 * and the median of the ratios is the figure. Unpaired rates are printed for orientation only.
 */

/** One way of doing a request. */
export interface Way {
  readonly name: string
  /** One request; resolves when it is answered. */
  readonly request: () => Promise<void>
  /** True for a failure that is counted, and not the end of the comparison. */
  readonly isRefusal?: (error: unknown) => boolean
  /** Instead of the one of the slices. */
  readonly concurrency?: number
  /** Behind each slice, and not part of it: takes away what the slice has left behind. */
  readonly after?: () => Promise<void>
}

/** How long and how many at once. */
export interface SliceOptions {
  readonly concurrency: number
  /** Before the first slice, for each way. */
  readonly warmMs: number
  readonly sliceMs: number
  readonly pairs: number
}

/** What one way did: requests a second, one figure a slice. */
export interface Run {
  readonly name: string
  readonly concurrency: number
  readonly rates: readonly number[]
  /** Requests that failed, of all that were made in the slices. */
  readonly refused: number
  readonly made: number
}

/** The comparison of two ways. Rates are requests a second. */
export interface Comparison {
  readonly bare: string
  readonly guarded: string
  readonly concurrency: number
  /** guarded ÷ bare, one a round, in the order they were run. */
  readonly ratios: readonly number[]
  readonly ratio: number
  readonly ratioMin: number
  readonly ratioMax: number
  readonly bareRate: number
  readonly guardedRate: number
  /** Requests that failed, of all that were made. */
  readonly bareRefused: string
  readonly guardedRefused: string
}

/**
 * Runs them until the compiler has settled on all: what is measured before is the compiler. A first request takes some
 * ten thousand times, more than any one comparison could spend at one client.
 */
export async function settle(ways: readonly Way[], ms: number): Promise<void> {
  const options = { concurrency: SETTLED_AT, warmMs: 0, sliceMs: ms, pairs: 0 }
  for (const way of [...ways, ...ways]) await slice(way, options, ms / 2)
}

const SETTLED_AT = 32

/** Runs A B C, C B A, A B C …: the order alternates, so that drift within a round cancels out. */
export async function measure(ways: readonly Way[], options: SliceOptions): Promise<Run[]> {
  for (const way of [...ways, ...ways]) await slice(way, options, options.warmMs / 2)
  const runs = ways.map((way) => ({ way, rates: [] as number[], refused: 0, made: 0 }))
  for (let round = 0; round < options.pairs; round++) {
    for (const run of round % 2 === 0 ? runs : [...runs].reverse()) {
      const { rate, answered, refused } = await slice(run.way, options, options.sliceMs)
      run.rates.push(rate)
      run.refused += refused
      run.made += answered + refused
    }
  }
  return runs.map(({ way, ...run }) => ({
    ...run,
    name: way.name,
    concurrency: way.concurrency ?? options.concurrency,
  }))
}

/** One way against another of the same rounds. */
export function against(guarded: Run, bare: Run): Comparison {
  const ratios = guarded.rates.map((value, at) => value / (bare.rates[at] ?? Number.NaN))
  return {
    bare: bare.name,
    guarded: guarded.name,
    concurrency: guarded.concurrency,
    ratios,
    ratio: median(ratios),
    ratioMin: Math.min(...ratios),
    ratioMax: Math.max(...ratios),
    bareRate: median(bare.rates),
    guardedRate: median(guarded.rates),
    bareRefused: `${String(bare.refused)} of ${String(bare.made)}`,
    guardedRefused: `${String(guarded.refused)} of ${String(guarded.made)}`,
  }
}

/** Measures two ways and compares them. */
export async function compare(bare: Way, guarded: Way, options: SliceOptions): Promise<Comparison> {
  const [bareRun, guardedRun] = await measure([bare, guarded], options)
  if (bareRun === undefined || guardedRun === undefined) throw new Error('two ways give two runs')
  return against(guardedRun, bareRun)
}

/** The middle value; the mean of the two middle ones when there is none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]]
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2
}

/** So many requests at a time, for so long. */
export async function slice(
  way: Way,
  options: SliceOptions,
  sliceMs: number,
): Promise<{ rate: number; answered: number; refused: number }> {
  const concurrency = way.concurrency ?? options.concurrency
  const start = performance.now()
  const end = start + sliceMs
  let answered = 0
  let refused = 0
  const client = async (): Promise<void> => {
    while (performance.now() < end) {
      try {
        await way.request()
        answered++
      } catch (error) {
        if (way.isRefusal?.(error) !== true) throw error
        refused++
      }
    }
  }
  await Promise.all(Array.from({ length: concurrency }, client))
  const rate = (answered * 1_000) / (performance.now() - start)
  await way.after?.()
  return { rate, answered, refused }
}

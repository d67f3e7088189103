/**
 * Fair comparison on a machine that drifts: two ways are run in short alternating slices, each pair gives one ratio,
 * and the median of the ratios is the figure. Unpaired rates are printed for orientation only.
 */

/** One way of doing a request. */
export interface Way {
  readonly name: string
  /** One request; resolves when it is answered. */
  readonly request: () => Promise<void>
}

/** How long and how many at once. */
export interface SliceOptions {
  readonly concurrency: number
  /** Before the first slice, for each way. */
  readonly warmMs: number
  readonly sliceMs: number
  readonly pairs: number
}

/** The comparison of two ways. Rates are requests a second. */
export interface Comparison {
  readonly bare: string
  readonly guarded: string
  readonly concurrency: number
  /** guarded ÷ bare, one a pair, in the order they were run. */
  readonly ratios: readonly number[]
  readonly ratio: number
  readonly ratioMin: number
  readonly ratioMax: number
  readonly bareRate: number
  readonly guardedRate: number
}

/** Runs A B B A A B … and compares. The order alternates, so that drift within a pair cancels out. */
export async function compare(bare: Way, guarded: Way, options: SliceOptions): Promise<Comparison> {
  // Until the compiler has settled on both: cold code measures the compiler.
  for (const way of [bare, guarded, bare, guarded])
    await rate(way, { ...options, sliceMs: options.warmMs / 2 })
  const bareRates: number[] = []
  const guardedRates: number[] = []
  for (let pair = 0; pair < options.pairs; pair++) {
    const order = pair % 2 === 0 ? [bare, guarded] : [guarded, bare]
    for (const way of order)
      (way === bare ? bareRates : guardedRates).push(await rate(way, options))
  }
  const ratios = guardedRates.map((value, at) => value / (bareRates[at] ?? Number.NaN))
  return {
    bare: bare.name,
    guarded: guarded.name,
    concurrency: options.concurrency,
    ratios,
    ratio: median(ratios),
    ratioMin: Math.min(...ratios),
    ratioMax: Math.max(...ratios),
    bareRate: median(bareRates),
    guardedRate: median(guardedRates),
  }
}

/** The middle value; the mean of the two middle ones when there is none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]]
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2
}

async function rate(
  way: Way,
  { concurrency, sliceMs }: Pick<SliceOptions, 'concurrency' | 'sliceMs'>,
): Promise<number> {
  const start = performance.now()
  const end = start + sliceMs
  let done = 0
  const client = async (): Promise<void> => {
    while (performance.now() < end) {
      await way.request()
      done++
    }
  }
  await Promise.all(Array.from({ length: concurrency }, client))
  return (done * 1_000) / (performance.now() - start)
}

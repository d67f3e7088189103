/** What grows with what: keys in the table, bytes of a response, stages, clients, processes; what is left on disk. */
import type pg from 'pg'
import { growthOf, type Line, lineThrough, type Point } from './fit.ts'
import { keysSeries, ratioSeries } from './growth-keys.ts'
import { processesSeries } from './growth-processes.ts'
import { concurrencySeries, sizeSeries, stagesSeries } from './growth-shapes.ts'
import { against, median, type Run, type SliceOptions } from './slices.ts'
import { measureStorage, type Storage } from './storage.ts'

/** What of a series was measured at one x. */
export interface SeriesPoint {
  readonly x: number
  /** Median, unpaired. */
  readonly perSecond: number
  /** Of the rate at `reference`, round by round. */
  readonly relative: number
  readonly relativeMin: number
  readonly relativeMax: number
}

/** One thing, as another grows. */
export interface Series {
  readonly name: string
  /** What x counts. */
  readonly of: string
  readonly reference: number
  readonly points: readonly SeriesPoint[]
  /** Of the milliseconds that a client waits for a request (clients ÷ rate) over x, on log-log: 0 is flat. */
  readonly growth: Line
  /** The same milliseconds over x, as they are. */
  readonly line: Line
}

/** The whole of it. */
export interface Growth {
  /** Of the server. */
  readonly settings: Readonly<Record<string, string>>
  readonly slices: Omit<SliceOptions, 'concurrency'>
  readonly series: readonly Series[]
  readonly storage?: Storage | undefined
}

/** What the parts are given. */
export interface GrowthGround {
  readonly pool: pg.Pool
  readonly poolSize: number
  readonly url: string
  readonly slices: Growth['slices']
  readonly say: (line: string) => void
}

/** The series by which ratios are found. */
export const SERIES = { claim: 'claim', replay: 'replay' } as const

/** Which tables, and how much. */
export interface GrowthAsked {
  /** Of the table, in keys; 10,000 must be among them, and the largest comes last. */
  readonly sizes: readonly number[]
  /** Of each kind, for what is found on disk. */
  readonly requests: number
  /** Claims and replays, by keys. */
  readonly ratiosOnly: boolean
}

export async function measureGrowth(
  { sizes, requests, ratiosOnly }: GrowthAsked,
  ground: GrowthGround,
): Promise<Omit<Growth, 'settings'>> {
  const { slices } = ground
  if (ratiosOnly) return { slices, series: await ratioSeries(sizes, ground) }
  const shapes = [
    ...(await sizeSeries(ground)),
    await stagesSeries(ground),
    await concurrencySeries(ground),
    await processesSeries(ground),
  ]
  ground.say('What is left on disk …')
  const storage = await measureStorage(ground.url, requests)
  // Last: the server writes out the large tables for minutes, and all others would wait for its disk.
  return { slices, series: [...(await keysSeries(sizes, ground)), ...shapes], storage }
}

/** @param runs - one an x, in their order */
export function seriesOf(
  about: Pick<Series, 'name' | 'of' | 'reference'>,
  xs: readonly number[],
  runs: readonly Run[],
): Series {
  const referred = runs[xs.indexOf(about.reference)]
  if (referred === undefined) throw new Error(`${about.name}: nothing at ${about.reference}`)
  const points = runs.map((run, at): SeriesPoint => {
    const { ratio, ratioMin, ratioMax } = against(run, referred)
    return {
      x: xs[at] ?? Number.NaN,
      perSecond: median(run.rates),
      relative: ratio,
      relativeMin: ratioMin,
      relativeMax: ratioMax,
    }
  })
  const times = points.map(({ x, perSecond }, at): Point => {
    const clients = runs[at]?.concurrency ?? 1
    return [x, (clients * 1_000) / perSecond]
  })
  return { ...about, points, growth: growthOf(times), line: lineThrough(times) }
}

/**
 * What a claim costs on each engine, by each of its native libraries: `store.claim` of a fresh id ÷ the same row in one
 * INSERT of the library itself, in alternating slices; and a stage of one INSERT ÷ that INSERT in a transaction.
 * An engine that cannot be started, or a library that cannot be loaded, is in the result with its error.
 */
import { loadavg } from 'node:os'
import { type Claims, claimWays } from './claims.ts'
import { compare, type Comparison, type SliceOptions, type Way } from './slices.ts'

/** What `--only engines` takes of the options of a slice. */
export type EngineSlices = Omit<SliceOptions, 'concurrency'>

/** A server, or a folder, that is ready. */
export interface Running {
  /** Its version, and each setting that a commit's durability hangs on, as it says itself. */
  readonly settings: Readonly<Record<string, string>>
  /** An empty database of its own; a URL or the path of a folder. */
  database(): Promise<string>
  remove(): Promise<void>
}

/** One library on a database that is there. */
export interface Opened {
  readonly claims: Claims
  /** Absent: the library has no transactions. */
  readonly stages?: () => Promise<readonly [bare: Way, guarded: Way]>
  /** What a user without Pawl does, for people. */
  readonly bare?: string
  /** Further settings, which are the connection's own. */
  readonly settings?: Readonly<Record<string, string>>
  close(): Promise<void>
}

/** A library of an engine. */
export interface Library {
  /** The subpath, and what else tells it from the others. */
  readonly name: string
  /** The library's own. */
  readonly version: () => string
  readonly open: (database: string) => Promise<Opened>
}

/** An engine and its libraries. */
export interface Engine {
  readonly name: string
  readonly start: () => Promise<Running>
  readonly libraries: readonly Library[]
}

/** One comparison, and what it is of. */
export interface EngineComparison extends Comparison {
  readonly engine: string
  readonly library: string
  readonly step: 'claim' | 'stage'
}

/** What ran, and as what. */
export interface EngineRun {
  readonly engine: string
  readonly settings: Readonly<Record<string, string>>
  /** Library → version. */
  readonly libraries: Readonly<Record<string, string>>
}

/** What did not run. */
export interface Missing {
  readonly engine: string
  readonly libraries: readonly string[]
  /** And how to install it. */
  readonly error: string
}

/** The whole of it. */
export interface Engines {
  readonly slices: EngineSlices
  /** Of a minute, before and after: a machine that did nothing else would say about its number of processes at work. */
  readonly loadBefore: number
  readonly loadAfter: number
  readonly ran: readonly EngineRun[]
  readonly missing: readonly Missing[]
  readonly comparisons: readonly EngineComparison[]
}

const CLAIMS_AT = [1, 32]
const STAGES_AT = 32

/** Measures one engine after the other: a server that only waits still takes its share. */
export async function measureEngines(
  engines: readonly Engine[],
  slices: EngineSlices,
  say: (line: string) => void,
): Promise<Engines> {
  const loadBefore = load()
  const ran: EngineRun[] = []
  const missing: Missing[] = []
  const comparisons: EngineComparison[] = []
  for (const { name: engine, start, libraries } of engines) {
    const lacks = (names: readonly string[], error: unknown): void => {
      const message = error instanceof Error ? error.message : String(error)
      missing.push({ engine, libraries: names, error: message })
      say(`MISSING: ${names.join(', ')} on ${engine}: ${message}`)
    }
    const names = libraries.map(({ name }) => name)
    const running = await start().catch((error: unknown) => lacks(names, error))
    if (running === undefined) continue
    let settings = running.settings
    const versions: Record<string, string> = {}
    try {
      for (const { name, version, open } of libraries) {
        const database = await running.database()
        const opened = await open(database).catch((error: unknown) => lacks([name], error))
        if (opened === undefined) continue
        say(`${name} on ${engine} …`)
        try {
          comparisons.push(...(await measureLibrary(engine, name, opened, slices)))
        } finally {
          await opened.close()
        }
        settings = { ...settings, ...opened.settings }
        versions[name] = version()
      }
    } finally {
      await running.remove()
    }
    if (Object.keys(versions).length > 0) ran.push({ engine, settings, libraries: versions })
  }
  return { slices, loadBefore, loadAfter: load(), ran, missing, comparisons }
}

async function measureLibrary(
  engine: string,
  library: string,
  { claims, stages, bare = 'INSERT' }: Opened,
  slices: EngineSlices,
): Promise<EngineComparison[]> {
  const found: EngineComparison[] = []
  for (const concurrency of CLAIMS_AT) {
    const [alone, guarded] = claimWays(library, bare, claims)
    const comparison = await compare(alone, guarded, { ...slices, concurrency })
    found.push({ ...comparison, engine, library, step: 'claim' })
  }
  if (stages !== undefined) {
    const [alone, guarded] = await stages()
    const comparison = await compare(alone, guarded, { ...slices, concurrency: STAGES_AT })
    found.push({ ...comparison, engine, library, step: 'stage' })
  }
  return found
}

function load(): number {
  return Number((loadavg()[0] ?? Number.NaN).toFixed(2))
}

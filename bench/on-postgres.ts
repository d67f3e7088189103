/** The subjects that are measured on one server of PostgreSQL, one after the other. */
import { fork } from 'node:child_process'
import { totalmem } from 'node:os'
import pg from 'pg'
import { pgStore } from 'pawl/pg'
import { type Postgres, startPostgres } from '../test/support/postgres.ts'
import { type Adoption, measureAdoption } from './adoption.ts'
import { type Growth, measureGrowth } from './growth.ts'
import { type CpuOfWay, measureCpu } from './cpu.ts'
import { install } from './install.ts'
import { PEERS, RATIO_PEERS } from './peer-list.ts'
import { type Ground, measurePeers, type MissingPeer, type Peers } from './peers.ts'
import { offered, type RedisMode } from './redis-beside.ts'
import { measureReplay, type Replay } from './replay.ts'
import { cpuOf, growthTable, peersOf, ratesOf, replayOf } from './report-subjects.ts'
import { tableOf } from './report.ts'
import { responseWays } from './response.ts'
import { countRoundTrips, type RoundTrips } from './round-trips.ts'
import { postgresDatabase, postgresSettings } from './servers.ts'
import { installOriginal, openServices, openShared } from './services.ts'
import { against, compare, type Comparison, measure, settle, type SliceOptions } from './slices.ts'
import { engineWays, httpWays, stepsWays } from './workloads.ts'

const POOL = 32
const RESPONSES_AT = 256

/** The names under `--only`. */
export const ON_POSTGRES = [
  'engine',
  'steps',
  'cpu',
  'http',
  'response',
  'replay',
  'growth',
  'peers',
  'medusa',
  'adoption',
] as const

type Subject = (typeof ON_POSTGRES)[number]

/** What the published service is needed for. */
const OF_ORIGINAL: readonly Subject[] = ['medusa', 'adoption']

type Slices = Omit<SliceOptions, 'concurrency'>
type Settled = Slices & Pick<Asked, 'settleMs'>

/** What is asked of a run. */
export interface Asked {
  readonly only: readonly string[]
  /** Of `replay`, `growth`, `peers` and `medusa`: only what the figures with goals are found by. */
  readonly ratiosOnly: boolean
  readonly slices: Slices
  /** Before the first comparison of a process, for each way. */
  readonly settleMs: number
  /** Records in the table of `replay`. */
  readonly keys: number
  /** So many at a time in `replay`. */
  readonly replaysAt: readonly number[]
  /** Of the tables of `growth`, in keys. */
  readonly sizes: readonly number[]
  /** Of each kind, for what `growth` finds on disk. */
  readonly requests: number
  readonly redis: RedisMode
}

/** What was found. */
export interface OnPostgres {
  readonly settings: Record<string, string>
  readonly comparisons: Comparison[]
  readonly roundTrips?: RoundTrips | undefined
  readonly replay?: Replay | undefined
  readonly growth?: Growth | undefined
  readonly cpu?: readonly CpuOfWay[] | undefined
  readonly peers?: Peers | undefined
  readonly adoption?: Adoption | undefined
  /** The published service, where it cannot be had. */
  readonly missing: readonly MissingPeer[]
}

export async function onPostgres(asked: Asked, say: (line: string) => void): Promise<OnPostgres> {
  const { only, slices, settleMs } = asked
  const missing = await withoutOriginal(only, say)
  say('Starting PostgreSQL …')
  const server = await startPostgres()
  try {
    const { url } = server
    const settings = await prepare(url)
    say(settingsOf(settings))
    const has = (name: Subject): boolean =>
      only.includes(name) && (missing.length === 0 || !OF_ORIGINAL.includes(name))
    const comparisons = [
      ...(has('engine') ? await engine(url, { ...slices, settleMs }, say) : []),
      ...(has('steps') ? await steps(url, { ...slices, settleMs }, say) : []),
      ...(has('http') ? await overHttp(url, { ...slices, settleMs }, say) : []),
      ...(has('response') ? await responses(url, slices, say) : []),
      ...(has('medusa') ? await medusa(url, asked, say) : []),
    ]
    if (comparisons.length > 0) say(tableOf(comparisons))
    const roundTrips = has('engine') ? await countRoundTrips(url) : undefined
    if (roundTrips !== undefined) say(`\nRound trips: ${JSON.stringify(roundTrips)}`)
    return {
      settings,
      comparisons,
      roundTrips,
      cpu: has('cpu') ? await ofProcessors(server, { ...slices, settleMs }, say) : undefined,
      replay: has('replay') ? await replays(url, asked, say) : undefined,
      growth: has('growth') ? await growing(asked, say) : undefined,
      peers: has('peers') ? await besidePeers(url, asked, say) : undefined,
      adoption: has('adoption') ? await adopting(url, say) : undefined,
      missing,
    }
  } finally {
    await server.remove()
  }
}

type Say = (line: string) => void

function settingsOf(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `  ${name}: ${value}`)
    .join('\n')
}

/** Installs the published service where it is asked for; @returns it, with the error, where it cannot be had. */
async function withoutOriginal(only: readonly string[], say: Say): Promise<MissingPeer[]> {
  if (!OF_ORIGINAL.some((name) => only.includes(name))) return []
  try {
    await installOriginal(say)
    return []
  } catch (error) {
    const { message } = error as Error
    say(`MISSING: @medusajs/medusa: ${message}`)
    return [{ peer: '@medusajs/medusa', error: message }]
  }
}

/** https://www.postgresql.org/docs/current/runtime-config-resource.html#GUC-SHARED-BUFFERS */
function quarterOfMemory(): string {
  // In a container the machine has more than the server may take. 0: it may take all.
  const allowed = process.constrainedMemory()
  const memory = allowed > 0 ? Math.min(allowed, totalmem()) : totalmem()
  return `${String(Math.floor(memory / 4 / 2 ** 20))}MB`
}

async function prepare(connectionString: string): Promise<Record<string, string>> {
  const pool = new pg.Pool({ connectionString })
  await pgStore(pool).migrate()
  await pool.query('create table bench_ride (id bigserial primary key, destination text not null)')
  await pool.end()
  const names = ['server_version', 'fsync', 'synchronous_commit', 'shared_buffers']
  const { server_version, ...settings } = await postgresSettings(connectionString, names)
  return {
    postgres: String(server_version),
    ...settings,
    pool: `${String(POOL)} connections, the same for both`,
    handler: 'one INSERT in its own transaction',
  }
}

async function engine(
  connectionString: string,
  { settleMs, ...slices }: Settled,
  say: Say,
): Promise<Comparison[]> {
  const found: Comparison[] = []
  const pool = new pg.Pool({ connectionString, max: POOL })
  say('Until the compiler has settled …')
  await settle(engineWays(pool), settleMs)
  for (const concurrency of [1, 32, 256]) {
    say(`Engine, ${String(concurrency)} concurrent …`)
    found.push(await compare(...engineWays(pool), { ...slices, concurrency }))
  }
  await pool.end()
  const pipelined = new pg.Pool({ connectionString, max: POOL, pipeline: true })
  say('Engine on a pipelined pool, 32 concurrent …')
  const comparison = await compare(...engineWays(pipelined), { ...slices, concurrency: 32 })
  found.push({ ...comparison, guarded: 'with Pawl, pipelined pool' })
  await pipelined.end()
  return found
}

async function steps(
  url: string,
  { settleMs, ...slices }: Settled,
  say: Say,
): Promise<Comparison[]> {
  return await withPool(url, async (pool) => {
    const ways = stepsWays(pool)
    await settle(ways, settleMs)
    const found: Comparison[] = []
    for (const concurrency of [32, 1]) {
      say(`Two stages and a call, ${String(concurrency)} concurrent …`)
      found.push(await compare(...ways, { ...slices, concurrency }))
    }
    return found
  })
}

async function ofProcessors(
  server: Postgres,
  settled: Settled,
  say: Say,
): Promise<readonly CpuOfWay[]> {
  say('What a first request takes of the processors, 32 concurrent …')
  return await withPool(server.url, async (pool) => {
    const found = await measureCpu({ pool, server }, settled)
    say(cpuOf(found))
    return found
  })
}

async function overHttp(
  url: string,
  { settleMs, ...slices }: Settled,
  say: Say,
): Promise<Comparison[]> {
  say('Express, 32 concurrent …')
  const api = fork(new URL('server.ts', import.meta.url), {
    env: { ...process.env, DATABASE_URL: url, BENCH_POOL: String(POOL) },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  try {
    const port = await new Promise<number>((resolve, reject) => {
      api.stdout?.once('data', (line: Buffer) => resolve(Number(line.toString())))
      api.once('exit', (code) => reject(new Error(`the rides API ended with ${String(code)}`)))
    })
    const ways = httpWays(port)
    await settle(ways, settleMs)
    return [await compare(...ways, { ...slices, concurrency: 32 })]
  } finally {
    api.kill()
  }
}

async function medusa(
  url: string,
  { slices, settleMs, ratiosOnly }: Asked,
  say: Say,
): Promise<Comparison[]> {
  const found: Comparison[] = []
  const services = await openServices((name) => postgresDatabase(url, name), POOL)
  try {
    // Pawl has been measured before, and the compiler knows it.
    await settle(services.direct, settleMs / 4)
    for (const [ways, concurrency, isOfRatios] of [
      [services.direct, 1, false],
      [services.direct, 32, true],
      [services.inRoutes, 32, false],
    ] as const) {
      if (ratiosOnly && !isOfRatios) continue
      say(
        `Two stages, ${ways.map(({ name }) => name).join(' / ')}, ${String(concurrency)} concurrent …`,
      )
      const [bare, ours, theirs] = await measure(ways, { ...slices, concurrency })
      if (bare === undefined || ours === undefined || theirs === undefined) continue
      found.push(against(ours, bare), against(theirs, bare), against(ours, theirs))
    }
  } finally {
    await services.close()
  }
  return found
}

async function adopting(url: string, say: Say): Promise<Adoption> {
  const backends = await openShared((name) => postgresDatabase(url, name), POOL)
  try {
    const adoption = await measureAdoption(backends, say)
    const lines = Object.entries(adoption).map(([name, value]) => `  ${name}: ${String(value)}`)
    say(lines.join('\n'))
    return adoption
  } finally {
    await backends.dataSource.destroy()
  }
}

async function responses(url: string, slices: Slices, say: Say): Promise<Comparison[]> {
  say(`Responses without rows, ${String(RESPONSES_AT)} concurrent …`)
  return await withPool(url, async (pool) => {
    const options = { ...slices, concurrency: RESPONSES_AT }
    return [await compare(...responseWays(pool, RESPONSES_AT), options)]
  })
}

async function replays(url: string, asked: Asked, say: Say): Promise<Replay> {
  const { keys, slices, replaysAt: at, ratiosOnly } = asked
  const peers = ratiosOnly ? RATIO_PEERS : PEERS
  return await withGround(url, asked, say, async (ground) => {
    const replay = await measureReplay({ peers, keys, at, ratiosOnly }, ground, slices)
    say(replayOf(replay))
    return replay
  })
}

async function besidePeers(url: string, asked: Asked, say: Say): Promise<Peers> {
  return await withGround(url, asked, say, async (ground, redis) => {
    const { ratiosOnly } = asked
    const compared = { peers: ratiosOnly ? RATIO_PEERS : PEERS, ratiosOnly }
    const peers = { ...(await measurePeers(compared, ground, asked)), redis }
    say(peersOf(peers))
    say(tableOf(peers.comparisons))
    if (!ratiosOnly) say(`\nReplays of one key${ratesOf(peers.replays)}`)
    return peers
  })
}

/**
 * On a server of its own, with the memory and the log that tables of this size are given. With little log the server
 * makes a checkpoint every few seconds, and each page that is written first behind one goes to the log whole.
 */
async function growing(asked: Asked, say: Say): Promise<Growth> {
  const log = { max_wal_size: '16GB', checkpoint_timeout: '30min' }
  const server = await startPostgres({ settings: { shared_buffers: quarterOfMemory(), ...log } })
  try {
    const { url } = server
    await prepare(url)
    const settings = await postgresSettings(url, ['shared_buffers', ...Object.keys(log)])
    say(settingsOf(settings))
    return await withPool(url, async (pool) => {
      const ground = { pool, poolSize: POOL, url, slices: asked.slices, say }
      const growth = { ...(await measureGrowth(asked, ground)), settings }
      say(growthTable(growth))
      return growth
    })
  } finally {
    await server.remove()
  }
}

/** A pool on the server's first database, and a Redis beside it, where there is one. */
async function withGround<R>(
  url: string,
  { redis: mode }: Asked,
  say: Say,
  work: (ground: Ground, redis: Readonly<Record<string, string>>) => Promise<R>,
): Promise<R> {
  const redis = await offered(mode)
  try {
    return await withPool(url, async (pool) => {
      const database = async (name: string): Promise<string> => {
        const made = await postgresDatabase(url, name)
        await prepare(made)
        return made
      }
      const ground = {
        ...{ pool, poolSize: POOL, redis: redis.url, database, say },
        install: (folder: string) => install(folder, say),
      }
      return await work(ground, redis.settings)
    })
  } finally {
    await redis.remove()
  }
}

async function withPool<R>(url: string, work: (pool: pg.Pool) => Promise<R>): Promise<R> {
  const pool = new pg.Pool({ connectionString: url, max: POOL })
  try {
    return await work(pool)
  } finally {
    await pool.end()
  }
}

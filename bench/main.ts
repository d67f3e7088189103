/**
 * `npm run bench`: what protection costs, and what others charge for it, in one run. Starts its own servers.
 */
import { execFileSync, fork } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { pgStore } from 'pawl/pg'
import { startPostgres } from '../test/support/postgres.ts'
import { type Adoption, measureAdoption } from './adoption.ts'
import { type Engines, measureEngines } from './engines.ts'
import { ENGINES } from './libraries.ts'
import { ranOf, tableOf } from './report.ts'
import { postgresDatabase, postgresSettings } from './servers.ts'
import { installOriginal, openServices, openShared } from './services.ts'
import { against, compare, type Comparison, measure, type SliceOptions } from './slices.ts'
import { engineWays, httpWays } from './workloads.ts'

const HELP = `npm run bench -- [options]

  --only NAMES   of engine, http, engines, medusa and adoption, those named, with commas between; all by default
  --quick        short slices: about a minute, two more for engines; wider spread
  --check        exit 1 when a figure is under its floor (below)
  --json FILE    write machine, settings and every sample to FILE
  --help         this text

Each figure is requests a second of one way ÷ those of another, both on pools of the same size, in alternating slices:
the median of the rounds, with their lowest and highest.

  engine, http   the handler with Pawl ÷ the handler alone, on PostgreSQL. Floor over HTTP: 0.6
  engines        on PostgreSQL, PGlite, MariaDB, SQLite, Redis and in memory, by each native library:
                 a claim of a fresh key ÷ the same row in one INSERT of the library, 1 and 32 at a time;
                 a stage of one INSERT ÷ that INSERT in a transaction. A server that is not installed
                 is listed with how to install it: apt-get install mariadb-server redis-server
  medusa         a request of two stages: pawl/medusa ÷ @medusajs/medusa ÷ neither. Floor of the first two: 3.
  adoption       a table of a million keys is adopted while the published service works on it
                 Both install the published service into bench/original, about 200 MB
`
const POOL = 32
const SUBJECTS = ['engine', 'http', 'engines', 'medusa', 'adoption']
/** Of these the servers are others, started one after the other when their turn has come. */
const WITHOUT_POSTGRES = ['engines']
/** The least that a figure may be, by the two ways it compares. */
const FLOORS: readonly {
  readonly guarded: string
  readonly bare: string
  readonly least: number
}[] = [
  { guarded: 'Express, with Pawl', bare: 'Express, route alone', least: 0.6 },
  { guarded: 'pawl/medusa', bare: '@medusajs/medusa', least: 3 },
]

type Slices = Omit<SliceOptions, 'concurrency'>

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: SUBJECTS.join(',') },
    quick: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  say(HELP)
} else {
  const only = values.only.split(',')
  const unknown = only.filter((name) => !SUBJECTS.includes(name))
  if (unknown.length > 0) {
    throw new Error(`--only ${unknown.join(',')}: there are ${SUBJECTS.join(', ')}`)
  }
  await main(only)
}

async function main(only: readonly string[]): Promise<void> {
  const slices = values.quick
    ? { warmMs: 1_500, sliceMs: 600, pairs: 5 }
    : { warmMs: 5_000, sliceMs: 1_500, pairs: 10 }
  const machine = ofMachine()
  sayAll(machine)
  const measured = only.some((name) => !WITHOUT_POSTGRES.includes(name))
    ? await onPostgres(only, slices)
    : { settings: {}, comparisons: [], adoption: undefined }
  const { settings, comparisons, adoption } = measured
  const engines = only.includes('engines') ? await onEngines() : undefined
  if (values.json !== undefined) {
    const about = { ...machine, ...settings }
    const found = { machine: about, slices, comparisons, adoption, engines }
    writeFileSync(values.json, `${JSON.stringify(found, null, 2)}\n`)
  }
  if (values.check) check(comparisons)
}

interface OnPostgres {
  readonly settings: Record<string, string>
  readonly comparisons: Comparison[]
  readonly adoption: Adoption | undefined
}

async function onPostgres(only: readonly string[], slices: Slices): Promise<OnPostgres> {
  if (only.includes('medusa') || only.includes('adoption')) installOriginal(say)
  say('Starting PostgreSQL …')
  const server = await startPostgres()
  try {
    const settings = await prepare(server.url)
    sayAll(settings)
    const comparisons = [
      ...(only.includes('engine') ? await engine(server.url, slices) : []),
      ...(only.includes('http') ? await overHttp(server.url, slices) : []),
      ...(only.includes('medusa') ? await medusa(server.url, slices) : []),
    ]
    if (comparisons.length > 0) say(tableOf(comparisons))
    const adoption = only.includes('adoption') ? await adopting(server.url) : undefined
    return { settings, comparisons, adoption }
  } finally {
    await server.remove()
  }
}

async function onEngines(): Promise<Engines> {
  // Shorter: there are thirty comparisons.
  const slices = values.quick
    ? { warmMs: 500, sliceMs: 300, pairs: 5 }
    : { warmMs: 2_000, sliceMs: 1_000, pairs: 10 }
  const engines = await measureEngines(ENGINES, slices, say)
  say(ranOf(engines))
  say(tableOf(engines.comparisons))
  return engines
}

function ofMachine(): Record<string, string> {
  return {
    machine: `${String(cpus().length)} × ${cpus()[0]?.model ?? 'unknown'}, ${String(Math.round(totalmem() / 2 ** 30))} GiB`,
    node: process.version,
    commit: commitOf(),
  }
}

/** Of the sources, with a + where they were changed since; `unknown` outside of a clone. */
function commitOf(): string {
  try {
    const flags = ['describe', '--always', '--abbrev=10', '--dirty=+', '--exclude=*']
    return execFileSync('git', flags, { encoding: 'utf8', stdio: 'pipe' }).trim()
  } catch {
    return 'unknown'
  }
}

async function prepare(connectionString: string): Promise<Record<string, string>> {
  const pool = new pg.Pool({ connectionString })
  await pgStore(pool).migrate()
  await pool.query('create table bench_ride (id bigserial primary key, destination text not null)')
  await pool.end()
  const names = ['server_version', 'fsync', 'synchronous_commit']
  const { server_version, ...settings } = await postgresSettings(connectionString, names)
  return {
    postgres: String(server_version),
    ...settings,
    pool: `${String(POOL)} connections, the same for both`,
    handler: 'one INSERT in its own transaction',
  }
}

async function engine(connectionString: string, slices: Slices): Promise<Comparison[]> {
  const found: Comparison[] = []
  const pool = new pg.Pool({ connectionString, max: POOL })
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

async function overHttp(url: string, slices: Slices): Promise<Comparison[]> {
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
    return [await compare(...httpWays(port), { ...slices, concurrency: 32 })]
  } finally {
    api.kill()
  }
}

async function medusa(url: string, slices: Slices): Promise<Comparison[]> {
  const found: Comparison[] = []
  const services = await openServices((name) => postgresDatabase(url, name), POOL)
  try {
    for (const [ways, concurrency] of [
      [services.direct, 1],
      [services.direct, 32],
      [services.inRoutes, 32],
    ] as const) {
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

async function adopting(url: string): Promise<Adoption> {
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

function check(comparisons: readonly Comparison[]): void {
  for (const { guarded, bare, least } of FLOORS) {
    const found = comparisons.find(
      (one) => one.guarded === guarded && one.bare === bare && one.concurrency === 32,
    )
    if (found === undefined || found.ratio >= least) continue
    say(`FAILED: ${guarded} ÷ ${bare} is ${found.ratio.toFixed(2)}, under ${String(least)}`)
    process.exitCode = 1
  }
}

function sayAll(about: Readonly<Record<string, string>>): void {
  const lines = Object.entries(about).map(([name, value]) => `  ${name}: ${value}`)
  say(lines.join('\n'))
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

/**
 * `npm run bench`: what protection costs, and what others charge for it, in one run. Starts its own PostgreSQL.
 */
import { fork } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { pgStore } from 'pawl/pg'
import { startPostgres } from '../test/support/postgres.ts'
import { type Adoption, measureAdoption } from './adoption.ts'
import { tableOf } from './report.ts'
import { installOriginal, openServices, openShared } from './services.ts'
import { against, compare, type Comparison, measure, type SliceOptions } from './slices.ts'
import { engineWays, httpWays } from './workloads.ts'

const HELP = `npm run bench -- [options]

  --only NAMES   of engine, http, medusa and adoption, those named, with commas between; all by default
  --quick        short slices: about a minute, wider spread
  --check        exit 1 when a figure is under its floor (below)
  --json FILE    write machine, settings and every sample to FILE
  --help         this text

Each figure is requests a second of one way ÷ those of another, both on pools of the same size, in alternating slices:
the median of the rounds, with their lowest and highest.

  engine, http   the handler with Pawl ÷ the handler alone. Floor over HTTP: 0.6
  medusa         a request of two stages: pawl/medusa ÷ @medusajs/medusa ÷ neither. Floor of the first two: 3.
  adoption       a table of a million keys is adopted while the published service works on it
                 Both install the published service into bench/original, about 200 MB
`
const POOL = 32
const SUBJECTS = ['engine', 'http', 'medusa', 'adoption']
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
  if (only.includes('medusa') || only.includes('adoption')) installOriginal(say)
  say('Starting PostgreSQL …')
  const server = await startPostgres()
  try {
    const machine = await prepare(server.url)
    const lines = Object.entries(machine).map(([name, value]) => `  ${name}: ${value}`)
    say(lines.join('\n'))
    const comparisons = [
      ...(only.includes('engine') ? await engine(server.url, slices) : []),
      ...(only.includes('http') ? await overHttp(server.url, slices) : []),
      ...(only.includes('medusa') ? await medusa(server.url, slices) : []),
    ]
    if (comparisons.length > 0) say(tableOf(comparisons))
    const adoption = only.includes('adoption') ? await adopting(server.url) : undefined
    if (values.json !== undefined) {
      const found = { machine, slices, comparisons, adoption }
      writeFileSync(values.json, `${JSON.stringify(found, null, 2)}\n`)
    }
    if (values.check) check(comparisons)
  } finally {
    await server.remove()
  }
}

async function prepare(connectionString: string): Promise<Record<string, string>> {
  const pool = new pg.Pool({ connectionString })
  await pgStore(pool).migrate()
  await pool.query('create table bench_ride (id bigserial primary key, destination text not null)')
  const setting = async (name: string): Promise<string> =>
    String((await pool.query<Record<string, string>>(`show ${name}`)).rows[0]?.[name])
  const machine = {
    machine: `${String(cpus().length)} × ${cpus()[0]?.model ?? 'unknown'}, ${String(Math.round(totalmem() / 2 ** 30))} GiB`,
    node: process.version,
    postgres: await setting('server_version'),
    fsync: await setting('fsync'),
    synchronous_commit: await setting('synchronous_commit'),
    pool: `${String(POOL)} connections, the same for both`,
    handler: 'one INSERT in its own transaction',
  }
  await pool.end()
  return machine
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
  const services = await openServices((name) => database(url, name), POOL)
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
  const backends = await openShared((name) => database(url, name), POOL)
  try {
    const adoption = await measureAdoption(backends, say)
    const lines = Object.entries(adoption).map(([name, value]) => `  ${name}: ${String(value)}`)
    say(lines.join('\n'))
    return adoption
  } finally {
    await backends.dataSource.destroy()
  }
}

async function database(url: string, name: string): Promise<string> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(`create database ${name}`)
  await client.end()
  return Object.assign(new URL(url), { pathname: `/${name}` }).toString()
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

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

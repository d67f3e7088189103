/**
 * `npm run bench`: what protection costs, against the same handler without it, in one run. Starts its own PostgreSQL.
 */
import { fork } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { pgStore } from 'pawl/pg'
import { startPostgres } from '../test/support/postgres.ts'
import { compare, type Comparison, type SliceOptions } from './slices.ts'
import { engineWays, httpWays } from './workloads.ts'

const HELP = `npm run bench -- [options]

  --quick        short slices: under a minute, wider spread
  --check        exit 1 when a first request over HTTP at 32 concurrent reaches less than 0.6 of the bare handler
  --json FILE    write machine, settings and every sample to FILE
  --help         this text

Each figure is requests a second with Pawl ÷ the same handler alone, both on the same pool, in alternating slices:
the median of the pairs, with their lowest and highest.
`
const POOL = 32
const FLOOR = 0.6

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  process.stdout.write(HELP)
} else {
  await main()
}

async function main(): Promise<void> {
  const slices = values.quick
    ? { warmMs: 1_500, sliceMs: 600, pairs: 5 }
    : { warmMs: 5_000, sliceMs: 1_500, pairs: 10 }
  say('Starting PostgreSQL …')
  const server = await startPostgres()
  try {
    const machine = await prepare(server.url)
    say(
      Object.entries(machine)
        .map(([name, value]) => `  ${name}: ${value}`)
        .join('\n'),
    )
    const comparisons = [
      ...(await engine(server.url, slices)),
      ...(await overHttp(server.url, slices)),
    ]
    report(comparisons)
    if (values.json !== undefined) {
      writeFileSync(values.json, `${JSON.stringify({ machine, slices, comparisons }, null, 2)}\n`)
    }
    const first = comparisons.find(
      ({ guarded, concurrency }) => guarded === 'Express, with Pawl' && concurrency === 32,
    )
    if (values.check && (first === undefined || first.ratio < FLOOR)) {
      say(`FAILED: ${String(first?.ratio.toFixed(2))} is under ${String(FLOOR)}`)
      process.exitCode = 1
    }
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

async function engine(
  connectionString: string,
  slices: Omit<SliceOptions, 'concurrency'>,
): Promise<Comparison[]> {
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

async function overHttp(
  url: string,
  slices: Omit<SliceOptions, 'concurrency'>,
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
    return [await compare(...httpWays(port), { ...slices, concurrency: 32 })]
  } finally {
    api.kill()
  }
}

function report(comparisons: readonly Comparison[]): void {
  const row = (cells: readonly string[]): string =>
    cells.map((cell, at) => (at === 0 ? cell.padEnd(28) : cell.padStart(14))).join('')
  say('')
  say(row(['', 'concurrent', 'bare /s', 'with Pawl /s', 'ratio', 'lowest–highest']))
  for (const {
    guarded,
    concurrency,
    bareRate,
    guardedRate,
    ratio,
    ratioMin,
    ratioMax,
  } of comparisons) {
    const spread = `${ratioMin.toFixed(2)}–${ratioMax.toFixed(2)}`
    const cells = [
      guarded,
      String(concurrency),
      bareRate.toFixed(0),
      guardedRate.toFixed(0),
      ratio.toFixed(2),
      spread,
    ]
    say(row(cells))
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

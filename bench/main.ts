/**
 * `npm run bench`: what protection costs, and what others charge for it, in one run. Starts its own servers.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import { BASELINE, fallen, readBaseline } from './baseline.ts'
import { barsOf, chartOf } from './chart.ts'
import { type Engines, measureEngines } from './engines.ts'
import { ENGINES } from './libraries.ts'
import { type Asked, ON_POSTGRES, onPostgres, type OnPostgres } from './on-postgres.ts'
import { plotsOf } from './plots.ts'
import { type Ratios, ratiosOf, replayPerSecondOf, roundTripsOf } from './ratios.ts'
import { REDIS_MODES } from './redis-beside.ts'
import { ranOf, tableOf } from './report.ts'

const HELP = `npm run bench -- [options]

  --only NAMES   of engine, steps, cpu, http, response, replay, growth, peers, medusa, adoption and engines, those
                 named, with commas between; all by default
  --quick        short slices and small tables: all ratios in about a minute, with wider spread. Installing others
                 takes another, the first time. Of replay, growth, peers and medusa only what those are found by, with
                 tables of up to 100,000 keys; with --only all of those named
  --check        exit 1 when a figure is under its floor (below), or a ratio more than 15 % worse than that of
                 ${BASELINE}; how flat claims and replays are is compared with --large alone
  --json FILE    write machine, settings, every sample, and the figures that goals are set for to FILE
  --svg FILE     write a chart of all that was compared with a bare way to FILE
  --plots FILE   write plots of growth, where it was measured, to FILE
  --keys N       records in the table of replay: 1,000,000 by default, 20,000 with --quick --only replay
  --large        growth goes on to ten million keys, which takes minutes to fill
  --redis MODE   for peers on Redis: shipped (default), as its makers ship it, without a log of changes; or durable,
                 each change on disk before it is answered, as PostgreSQL has it
  --help         this text

Each figure is requests a second of one way ÷ those of another, both on pools of the same size, in alternating slices:
the median of the rounds, with their lowest and highest.

  engine, http   round trips, and the handler with Pawl ÷ the handler alone, on PostgreSQL. Floor over HTTP: 0.6
  steps          two stages with a call of another system in between, 32 and 1 at a time
  cpu            microseconds of Node and of PostgreSQL that a first request takes, beside the handler alone, and
                 beside its statements written by hand, which is the least it could take
  response       requests without rows, 256 at a time: statements shared by all ÷ statements of each
  replay         requests a second whose key was used before: one key, any of many, in progress, mismatch;
                 beside them the peer on Redis that replays fastest
  growth         claims, replays, the reaper's and the completer's looks on tables of 1,000 to 1,000,000 keys;
                 responses of 100 bytes to 1 MB; 1 to 50 stages; 1 to 512 clients; 1 to 4 processes;
                 HOT updates, bytes a row, write-ahead log. On a server whose shared buffers are a quarter of the
                 machine's memory, with room for its log between checkpoints
  peers          the same request through each peer, through Pawl and through none, 1 and 32 at a time, and replays of
                 one key; with what each can lose. They are installed into bench/peers, each on its own, about
                 50 MB; one that cannot be installed or started is listed with its error
  medusa         a request of two stages: pawl/medusa ÷ @medusajs/medusa ÷ neither. Floor of the first two: 3.
  adoption       a table of a million keys is adopted while the published service works on it
                 Both install the published service into bench/original, about 200 MB
  engines        on PostgreSQL, PGlite, MariaDB, SQLite, Redis and in memory, by each native library:
                 a claim of a fresh key ÷ the same row in one INSERT of the library, 1 and 32 at a time;
                 a stage of one INSERT ÷ that INSERT in a transaction. A server that is not installed
                 is listed with how to install it: apt-get install mariadb-server redis-server
`
const SUBJECTS: readonly string[] = [...ON_POSTGRES, 'engines']
const QUICK: readonly string[] = [
  'engine',
  'http',
  'response',
  'medusa',
  'replay',
  'growth',
  'peers',
]
/** The least that a figure may be, by the two ways it compares. */
const FLOORS: readonly {
  readonly guarded: string
  readonly bare: string
  readonly least: number
}[] = [
  { guarded: 'Express, with Pawl', bare: 'Express, route alone', least: 0.6 },
  { guarded: 'pawl/medusa', bare: '@medusajs/medusa', least: 3 },
]

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
    json: { type: 'string' },
    svg: { type: 'string' },
    plots: { type: 'string' },
    keys: { type: 'string' },
    large: { type: 'boolean', default: false },
    redis: { type: 'string', default: 'shipped' },
    help: { type: 'boolean', default: false },
  },
})
// What is run in production is measured: what is watched for in development only costs there.
process.env['NODE_ENV'] ??= 'production'
if (values.help) {
  say(HELP)
} else {
  const only = values.only?.split(',') ?? (values.quick ? QUICK : SUBJECTS)
  const unknown = only.filter((name) => !SUBJECTS.includes(name))
  if (unknown.length > 0) {
    throw new Error(`--only ${unknown.join(',')}: there are ${SUBJECTS.join(', ')}`)
  }
  await main(only)
}

async function main(only: readonly string[]): Promise<void> {
  const asked = askedOf(only)
  const machine = ofMachine()
  sayAll(machine)
  const measured: OnPostgres = only.some((name) => name !== 'engines')
    ? await onPostgres(asked, say)
    : { settings: {}, comparisons: [], missing: [] }
  const { settings, comparisons, roundTrips: _, ...others } = measured
  const engines = only.includes('engines') ? await onEngines() : undefined
  const ratios = ratiosOf(measured)
  const replayPerSecond = replayPerSecondOf(measured)
  if (values.json !== undefined) {
    const about = { ...machine, ...settings }
    const goals = { ratios, replayPerSecond, roundTrips: roundTripsOf(measured) }
    const { slices } = asked
    const found = { machine: about, slices, ...goals, comparisons, ...others, engines }
    writeFileSync(values.json, `${JSON.stringify(found, null, 2)}\n`)
  }
  if (values.svg !== undefined) {
    const all = [...comparisons, ...(measured.peers?.comparisons ?? [])]
    writeFileSync(
      values.svg,
      chartOf('Requests a second, of the same without protection', barsOf(all)),
    )
  }
  const { growth } = measured
  if (values.plots !== undefined && growth !== undefined) {
    const title = 'Requests a second, of those at the reference (1)'
    writeFileSync(values.plots, plotsOf(title, growth.series))
  }
  for (const { peer, error } of measured.missing) say(`MISSING: ${peer}: ${error}`)
  if (values.check) check(measured, ratios)
}

function askedOf(only: readonly string[]): Asked {
  const { quick, large } = values
  const redis = REDIS_MODES.find((mode) => mode === values.redis)
  if (redis === undefined) throw new Error(`--redis ${values.redis}: ${REDIS_MODES.join(' or ')}`)
  const keys = Number(values.keys ?? (quick ? 20_000 : 1_000_000))
  if (!Number.isInteger(keys) || keys < 1) throw new Error('--keys: a whole number from 1')
  const ratiosOnly = quick && values.only === undefined
  const quickSizes = ratiosOnly ? [1e4, 1e5] : [1e3, 1e4, 1e5]
  const sizes = quick ? quickSizes : [1e3, 1e4, 1e5, 1e6]
  return {
    only,
    ratiosOnly,
    slices: quick
      ? { warmMs: 200, sliceMs: 150, pairs: 3 }
      : { warmMs: 5_000, sliceMs: 1_500, pairs: 10 },
    keys,
    replaysAt: quick ? [256] : [256, 1_024],
    sizes: large ? [...sizes, 1e7] : sizes,
    settleMs: quick ? 2_000 : 12_000,
    requests: quick ? 2_000 : 20_000,
    redis,
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
    NODE_ENV: String(process.env['NODE_ENV']),
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

function check({ comparisons, missing }: OnPostgres, ratios: Ratios): void {
  // That of ten million keys is no measure for smaller tables.
  const compared = values.large ? ratios : { ...ratios, claimFlat: null, replayFlat: null }
  const failed = [
    ...fallen(readBaseline(), compared),
    ...missing.map(({ peer }) => `${peer} is missing, and not compared`),
  ]
  for (const one of failed) {
    say(`FAILED: ${one}`)
    process.exitCode = 1
  }
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

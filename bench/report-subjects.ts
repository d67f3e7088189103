/** The figures of peers, replays and growth, for people. */
import type { CpuOfWay } from './cpu.ts'
import type { Growth, Series } from './growth.ts'
import type { Peers, PeerRun } from './peers.ts'
import type { Replay } from './replay.ts'
import { median, type Run } from './slices.ts'

/** Cells of each column as wide as its widest; the first column to the left. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map(
    (_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)) + 2,
  )
  return rows
    .map((row) =>
      row
        .map((cell, at) =>
          at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0),
        )
        .join('')
        .trimEnd(),
    )
    .join('\n')
}

/** What was compared, at what level, and what it can lose. */
export function peersOf({ ran, missing, redis }: Omit<Peers, 'slices'>): string {
  const versionsOf = ({ versions }: PeerRun): string =>
    Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')
  const settings = Object.entries(redis).map(([name, value]) => `${name} ${value}`)
  return [
    '',
    `Redis: ${settings.join(', ') || 'not there'}`,
    ...ran.map((run) =>
      [
        `${run.name} (${run.keepsIn}; ${run.level})`,
        ...(versionsOf(run) === '' ? [] : [`  versions: ${versionsOf(run)}`]),
        `  durability: ${run.durability}`,
      ].join('\n'),
    ),
    ...missing.map(({ peer, error }) => `MISSING: ${peer}: ${error}`),
  ].join('\n')
}

/** Unpaired rates. */
export function ratesOf(runs: readonly Run[]): string {
  const lines = runs.map(({ name, concurrency, rates }) => [
    name,
    String(concurrency),
    median(rates).toFixed(0),
    `${Math.min(...rates).toFixed(0)}–${Math.max(...rates).toFixed(0)}`,
  ])
  return `\n${columns([['', 'concurrent', '/s', 'lowest–highest'], ...lines])}`
}

/** Rates, and microseconds of a request. */
export function cpuOf(ways: readonly CpuOfWay[]): string {
  return `\n${columns([CPU_HEAD, ...ways.map(cpuCells)])}`
}

/** The names of {@link cpuCells}. */
export const CPU_HEAD: readonly string[] = [
  ...['', 'requests/s', 'of alone', 'Node, user', 'system', 'PostgreSQL, user', 'system'],
]

/** One way, as text. */
export function cpuCells({ name, perSecond, ratio, application, postgres }: CpuOfWay): string[] {
  const times = [application.user, application.system, postgres.user, postgres.system]
  const rate = Math.round(perSecond).toLocaleString('en')
  return [name, rate, ratio.toFixed(2), ...times.map((one) => one.toFixed(0))]
}

export function replayOf({ keys, runs, missing }: Replay): string {
  return [
    ratesOf(runs),
    ...(keys === undefined ? [] : [`many keys: ${keys.toLocaleString('en')}`]),
    ...missing.map(({ peer, error }) => `MISSING: ${peer}: ${error}`),
  ].join('\n')
}

export function growthTable({ series, storage }: Growth): string {
  const tables = series.map(seriesTable)
  if (storage === undefined) return tables.join('\n')
  const { walBytes, ...rest } = storage
  return [
    ...tables,
    '',
    ...Object.entries(rest).map(([name, value]) => `${name}: ${String(Number(value.toFixed(3)))}`),
    ...Object.entries(walBytes).map(([name, bytes]) => `WAL, ${name}: ${String(bytes)} bytes`),
  ].join('\n')
}

function seriesTable({ name, of, reference, points, growth, line }: Series): string {
  const lines = points.map((point) => [
    point.x.toLocaleString('en'),
    point.perSecond.toFixed(point.perSecond < 100 ? 1 : 0),
    point.relative.toFixed(2),
    `${point.relativeMin.toFixed(2)}–${point.relativeMax.toFixed(2)}`,
  ])
  const head = [of, '/s', `to ${reference.toLocaleString('en')}`, 'lowest–highest']
  return [
    `\n${name}, by ${of}`,
    columns([head, ...lines]),
    `time of a request: ∝ x^${growth.slope.toFixed(2)} (R² ${growth.r2.toFixed(2)}); ` +
      `${line.intercept.toFixed(3)} ms + ${line.slope.toPrecision(3)} ms · x (R² ${line.r2.toFixed(2)})`,
  ].join('\n')
}

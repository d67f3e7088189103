/** The figures of a run as the tables that docs/performance.md has. test/docs/figures.test.ts holds that. */
import type { CpuOfWay } from './cpu.ts'
import type { Growth } from './growth.ts'
import type { Peers } from './peers.ts'
import type { Replay } from './replay.ts'
import { CPU_HEAD, cpuCells } from './report-subjects.ts'
import { figureOf } from './report.ts'
import { type Comparison, median } from './slices.ts'

/** What a table is made of: a part of what `--json` writes. */
export interface Results {
  readonly comparisons: readonly Comparison[]
  readonly replay?: Replay
  readonly growth?: Growth
  readonly cpu?: readonly CpuOfWay[]
  readonly peers?: Pick<Peers, 'ran' | 'missing' | 'comparisons'>
}

/** By the names under which pages quote them. */
export const TABLES: Readonly<Record<string, (results: Results) => string>> = {
  comparisons: ({ comparisons }) =>
    table(
      ['', 'to', 'at a time', 'ratio (lowest–highest)'],
      comparisons.map((one) => [one.guarded, one.bare, String(one.concurrency), figureOf(one)]),
    ),
  cpu: ({ cpu }) => table(CPU_HEAD, (cpu ?? []).map(cpuCells)),
  replays: ({ replay }) =>
    table(
      ['', '256 at a time', '1,024 at a time'],
      [...new Set(replay?.runs.map(({ name }) => name))].map((name) => [
        name,
        ...[256, 1_024].map((at) => {
          const run = replay?.runs.find((one) => one.name === name && one.concurrency === at)
          return run === undefined ? '—' : thousands(median(run.rates))
        }),
      ]),
    ),
  peers: ({ peers }) =>
    table(
      ['', 'at', 'Pawl ÷ it, 1 at a time', '32 at a time', 'who can lose an acknowledged result'],
      [
        ...(peers?.ran ?? []).map(({ name, level, durability }) => [
          name,
          level,
          ...[1, 32].map((at) => {
            const found = peers?.comparisons.find(
              ({ guarded, bare, concurrency }) =>
                guarded === 'with Pawl' && bare === name && concurrency === at,
            )
            return found === undefined ? '—' : figureOf(found)
          }),
          durability,
        ]),
        ...(peers?.missing ?? []).map(({ peer }) => [peer, '—', 'not run', 'not run', '—']),
      ],
    ),
  growth: ({ growth }) =>
    table(
      ['', 'by', 'rate, of that at the reference', 'time ∝'],
      (growth?.series ?? []).map((series) => [
        series.name,
        series.of,
        series.points
          .map(({ x, relative }) => `${x.toLocaleString('en')}: ${relative.toFixed(2)}`)
          .join(' · '),
        `x^${series.growth.slope.toFixed(2)}`,
      ]),
    ),
  disk: ({ growth }) =>
    table(
      ['', 'bytes of write-ahead log a request'],
      Object.entries(growth?.storage?.walBytes ?? {}).map(([name, bytes]) => [
        name,
        bytes.toLocaleString('en'),
      ]),
    ),
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), `|${head.map(() => '---|').join('')}`, ...rows.map(line)].join('\n')
}

function thousands(rate: number): string {
  return `${(Math.round(rate / 100) * 100).toLocaleString('en')}/s`
}

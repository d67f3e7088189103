/** The figures of a run that goals are set for, in one place of its JSON. Null: it did not run. */
import { type Growth, SERIES } from './growth.ts'
import type { Peers } from './peers.ts'
import { dbosTransaction } from './peers/dbos.ts'
import { type Replay, REPLAY } from './replay.ts'
import type { RoundTrips } from './round-trips.ts'
import { type Comparison, median, type Run } from './slices.ts'

type Figure = number | null

/** Requests a second of the first ÷ those of the second, median of the rounds. */
export interface Ratios {
  /** Pawl ÷ the handler alone, at engine level, so many at a time. */
  readonly firstRequest: { readonly c1: Figure; readonly c32: Figure; readonly c256: Figure }
  /** Shared statements ÷ a statement each, requests without rows, 256 at a time. */
  readonly responseOnlyBatched: Figure
  /** Of two stages. */
  readonly vsMedusa: Figure
  /** Pawl ÷ a workflow of one transaction, first requests, 32 at a time. */
  readonly vsDbos: Figure
  /** Pawl ÷ the fastest of them, first requests, 32 at a time. */
  readonly vsRedisPeers: Figure
  readonly httpExpress: Figure
  /** The rate on a table of 10,000 keys ÷ that on the largest. */
  readonly claimFlat: Figure
  readonly replayFlat: Figure
}

/** Unpaired; of one key; the best of the concurrencies that ran. */
export interface ReplayPerSecond {
  readonly database: Figure
  readonly cache: Figure
  readonly bestRedisPeer: Figure
}

/** What a run has measured. */
export interface Measured {
  readonly comparisons: readonly Comparison[]
  readonly peers?: Pick<Peers, 'ran' | 'comparisons' | 'replays'> | undefined
  readonly replay?: Pick<Replay, 'runs' | 'redisPeer'> | undefined
  readonly growth?: Pick<Growth, 'series'> | undefined
  readonly roundTrips?: RoundTrips | undefined
}

export function ratiosOf({ comparisons, peers, growth }: Measured): Ratios {
  const of = (guarded: string, bare: string, concurrency: number): Figure =>
    comparisons.find(
      (one) => one.guarded === guarded && one.bare === bare && one.concurrency === concurrency,
    )?.ratio ?? null
  const firstAt = (concurrency: number): Figure => of('with Pawl', 'handler alone', concurrency)
  return {
    firstRequest: { c1: firstAt(1), c32: firstAt(32), c256: firstAt(256) },
    responseOnlyBatched: of(
      'response only, batched',
      'response only, each its own statements',
      256,
    ),
    vsMedusa: of('pawl/medusa', '@medusajs/medusa', 32),
    vsDbos: vsFastest(peers, ({ name }) => name === dbosTransaction.name),
    vsRedisPeers: vsFastest(peers, ({ keepsIn }) => keepsIn === 'Redis'),
    httpExpress: of('Express, with Pawl', 'Express, route alone', 32),
    claimFlat: flatness(growth, SERIES.claim),
    replayFlat: flatness(growth, SERIES.replay),
  }
}

export function replayPerSecondOf({ peers, replay }: Measured): ReplayPerSecond {
  const runs = replay?.runs ?? []
  return {
    database: best(runs.filter(({ name }) => name === REPLAY.hot)),
    cache: best(runs.filter(({ name }) => name === REPLAY.cache)),
    bestRedisPeer:
      best(runs.filter(({ name }) => name === replay?.redisPeer)) ??
      best((peers?.replays ?? []).filter(({ keepsIn }) => keepsIn === 'Redis')),
  }
}

export function roundTripsOf({ roundTrips }: Measured): RoundTrips {
  const none = { firstRequest: null, replay: null, conflict: null, stage: null, finish: null }
  return roundTrips ?? none
}

/** Pawl ÷ the fastest is the lowest of Pawl ÷ each. */
function vsFastest(peers: Measured['peers'], is: (peer: Peers['ran'][number]) => boolean): Figure {
  const names = (peers?.ran ?? []).filter(is).map(({ name }) => name)
  const ratios = (peers?.comparisons ?? [])
    .filter((one) => one.guarded === 'with Pawl' && names.includes(one.bare))
    .filter(({ concurrency }) => concurrency === 32)
    .map(({ ratio }) => ratio)
  return ratios.length === 0 ? null : Math.min(...ratios)
}

function flatness(growth: Measured['growth'], name: string): Figure {
  const last = growth?.series
    .find((series) => series.name === name && series.of === 'keys')
    ?.points.at(-1)
  return last === undefined ? null : 1 / last.relative
}

function best(runs: readonly Run[]): Figure {
  return runs.length === 0 ? null : Math.max(...runs.map(({ rates }) => median(rates)))
}

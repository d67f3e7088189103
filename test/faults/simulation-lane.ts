/** Lane A: simulated worlds by the ten thousand, each from its seed, each twice, each checked. */
import type { Lane, LaneOptions, LaneReport } from './lane.ts'
import { REGRESSIONS } from './regressions.ts'
import { type SeedsReport, simulateSeeds } from './simulation/workers.ts'
import { simulate } from './simulation/world.ts'

const SEEDS = 20_000
/** Of each seed: 200,000 of 20,000. */
const EFFECTIVE_OF_SEED = 10
/** Of the keys: a key that is asked for once says nothing of retries. */
const TRIED_AGAIN = 0.95

/** What must have happened somewhere, or nothing was tested. */
const MUST: Readonly<Record<string, string>> = {
  'event taken_over': 'takeover',
  replayed: 'replay',
  'event lease_lost': 'fencing',
  'code in_progress': '409 in progress',
  'code payload_mismatch': 'mismatch',
  'event commit_unknown': 'unknown commit',
  'event commit_resolved': 'resolved commit',
  'event step_resumed': 'resumption',
  'event outcome_unknown': 'unknown call',
  'code outcome_unknown': 'answer of an unknown outcome',
  'event resolved done': 'call resolved as done',
  'event resolved never': 'call resolved as never made',
  'completed finished': 'completion by a completer',
  'event failed': 'record that failed',
  'code version_unknown': 'record of a version that was not known',
  'event reaped': 'reaped record',
  'fault crash': 'crash',
  'fault pause': 'pause',
  'fault clock jump': 'clock jump',
  'fault database clock jump': 'jump of the database’s clock',
  'fault lost': 'lost message',
  'fault unanswered': 'lost acknowledgement',
  'fault delayed': 'delayed message',
  'fault duplicated': 'duplicated message',
  'fault aborted': 'abort',
  'fault late': 'late COMMIT',
  'fault close': 'shutdown',
}

/** Lane A. */
export const simulationLane: Lane = {
  letter: 'A',
  title: 'simulated worlds: crashes, pauses, clocks, a network that loses, delays and repeats',
  run: async (options) => {
    if (options.seeds === 1) return await shown(options)
    const from = options.seed
    const count = options.seeds ?? Math.ceil(SEEDS * options.scale)
    const failed: string[] = []
    for (const { seed, found } of REGRESSIONS) {
      const { violations } = await simulate(seed)
      if (violations.length > 0) failed.push(`seed ${String(seed)}, once ${found}: ${said(seed)}`)
    }
    let told = 0
    const seeds = await simulateSeeds(
      { from, to: from + count, twice: true, mutant: undefined },
      (done) => {
        if (done - told < 2_000) return
        told = done
        options.say(`${String(done)} of ${String(count)} seeds`)
      },
    )
    return reportOf(seeds, count, failed)
  },
}

function reportOf(report: SeedsReport, count: number, failed: readonly string[]): LaneReport {
  const { attempted, effective, seeds, tally, failures } = report
  const violations = failures.map(
    ({ seed, invariants, message }) =>
      `seed ${String(seed)} (${invariants.join()}): ${message}. ${said(seed)}`,
  )
  const hollow = Object.entries(MUST)
    .filter(([what]) => (tally.get(what) ?? 0) === 0)
    .map(([, name]) => `no ${name} in ${String(seeds)} worlds`)
  if (effective < count * EFFECTIVE_OF_SEED)
    hollow.push(
      `${String(effective)} effective faults, at least ${String(count * EFFECTIVE_OF_SEED)} are wanted`,
    )
  const keys = tally.get('keys') ?? 0
  const again = tally.get('keys tried again') ?? 0
  if (again < keys * TRIED_AGAIN)
    hollow.push(`${String(again)} of ${String(keys)} keys were tried again, 95 % are wanted`)
  const lostAcks = (tally.get('fault unanswered') ?? 0) + (tally.get('fault late') ?? 0)
  return {
    attempted,
    effective,
    violations: [...failed, ...violations],
    hollow,
    figures: { seeds, effectiveFaults: effective, lostAcks },
    notes: [
      [...tally]
        .sort()
        .map((entry) => entry.join(' '))
        .join(', '),
    ],
  }
}

function said(seed: number): string {
  return `npm run test:faults -- --lanes A --seed ${String(seed)} --seeds 1`
}

/** One world, with its history. */
async function shown({ seed, say }: LaneOptions): Promise<LaneReport> {
  const { mix, history, violations, attempted, effective } = await simulate(seed)
  const again = await simulate(seed)
  say(JSON.stringify(mix))
  for (const event of history.events) say(JSON.stringify(event))
  const found = violations.map(({ invariant, message }) => `${invariant}: ${message}`)
  if (again.history.digest() !== history.digest()) found.push('two runs, two histories')
  return { attempted, effective, violations: found, hollow: [], figures: { seeds: 1 } }
}

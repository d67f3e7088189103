/** Lane K: every planted defect is found by the simulation, or the simulation is not worth its green. */
import type { Lane, LaneReport } from './lane.ts'
import { MUTANTS } from './simulation/mutants.ts'
import type { SeedFailure } from './simulation/worker.ts'
import { simulateTasks } from './simulation/workers.ts'

const SEEDS_MAX = 2_000

/** Lane K. */
export const mutationLane: Lane = {
  letter: 'K',
  title: `planted defects, each to be found within ${String(SEEDS_MAX)} seeds`,
  run: async ({ seed, say }) => {
    const kills = new Map<string, SeedFailure>()
    let attempted = 0
    let effective = 0
    const task = { from: seed, to: seed + SEEDS_MAX, step: 1, twice: false }
    await simulateTasks(
      MUTANTS.map(({ name }) => ({ ...task, mutant: name })),
      ({ mutant = '' }, report) => {
        attempted += report.attempted
        effective += report.effective
        const [kill] = report.failures
        if (kill !== undefined) kills.set(mutant, kill)
        say(`${mutant}: ${kill === undefined ? 'ALIVE' : `seed ${String(kill.seed)}`}`)
      },
    )
    return { ...reportOf(kills), attempted, effective }
  },
}

function reportOf(
  kills: ReadonlyMap<string, SeedFailure>,
): Omit<LaneReport, 'attempted' | 'effective'> {
  const alive = MUTANTS.filter(({ name }) => !kills.has(name))
  return {
    violations: alive.map(
      ({ name }) => `the planted defect "${name}" was not found: npm run test:faults -- --lanes K`,
    ),
    hollow: [],
    figures: { mutants: { killed: kills.size, total: MUTANTS.length } },
    notes: [
      'first seed | invariant | planted defect | seen in',
      ...MUTANTS.map(({ name, seenIn }) => {
        const kill = kills.get(name)
        return `${String(kill?.seed ?? '-')} | ${kill?.invariants.join() ?? 'ALIVE'} | ${name} | ${seenIn}`
      }),
    ],
  }
}

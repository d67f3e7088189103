/** A process that simulates seeds for a lane, and reports them in batches. */
import { MUTANTS } from './mutants.ts'
import { simulate } from './world.ts'

/** What it is asked for: every `step`th seed. */
export interface WorkerTask {
  readonly from: number
  readonly to: number
  readonly step: number
  /** Each world once more, to hold that it is the same. */
  readonly twice: boolean
  /** By name. With one, it ends at the first seed that finds it. */
  readonly mutant: string | undefined
}

/** What came of some seeds. */
export interface WorkerReport {
  readonly seeds: number
  readonly attempted: number
  readonly effective: number
  readonly tally: Readonly<Record<string, number>>
  readonly failures: readonly SeedFailure[]
  readonly isLast: boolean
}

/** A seed that breached something. */
export interface SeedFailure {
  readonly seed: number
  readonly invariants: readonly string[]
  readonly message: string
}

const BATCH = 50
/** More failures than that say nothing new. */
const FAILURES_MAX = 20

// Errors are thrown by the thousand here, and nobody reads where.
Error.stackTraceLimit = 0
const unhandled: unknown[] = []
process.on('unhandledRejection', (error) => unhandled.push(error))
process.on('message', (task: WorkerTask) => void work(task))
// Nobody waits for what is simulated without a parent.
process.on('disconnect', () => process.exit())
send('ready')

function send(message: object | string): void {
  process.send?.(message, undefined, undefined, (error) => {
    if (error !== null) process.exit()
  })
}

async function work(task: WorkerTask): Promise<void> {
  const mutant = MUTANTS.find(({ name }) => name === task.mutant)
  let batch = emptyBatch()
  let failed = 0
  const tell = (isLast: boolean): void => {
    send({ ...batch, tally: Object.fromEntries(batch.tally), isLast })
    batch = emptyBatch()
  }
  for (let seed = task.from; seed < task.to && failed < FAILURES_MAX; seed += task.step) {
    const report = await simulate(seed, mutant)
    batch.seeds++
    batch.attempted += report.attempted
    batch.effective += report.effective
    for (const [what, times] of report.tally)
      batch.tally.set(what, (batch.tally.get(what) ?? 0) + times)
    const failures = failuresOf(seed, report.violations)
    for (const error of unhandled.splice(0))
      failures.push({ seed, invariants: ['unhandled'], message: String(error) })
    if (task.twice) {
      const again = await simulate(seed, mutant)
      if (again.history.digest() !== report.history.digest())
        failures.push({ seed, invariants: ['determinism'], message: 'two runs, two histories' })
    }
    batch.failures.push(...failures)
    failed += failures.length
    if (failures.length > 0 && mutant !== undefined) break
    if (batch.seeds === BATCH) {
      tell(false)
      // Messages leave in a turn of the loop, and nothing above takes one.
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  tell(true)
}

function emptyBatch() {
  const failures: SeedFailure[] = []
  return { seeds: 0, attempted: 0, effective: 0, tally: new Map<string, number>(), failures }
}

function failuresOf(
  seed: number,
  violations: Awaited<ReturnType<typeof simulate>>['violations'],
): SeedFailure[] {
  const [first] = violations
  if (first === undefined) return []
  const invariants = [...new Set(violations.map(({ invariant }) => invariant))]
  return [{ seed, invariants, message: first.message }]
}

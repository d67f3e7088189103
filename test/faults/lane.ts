/** What a lane of the fault suite is: one kind of fault, injected for as long as it is asked to, and what came of it. */

/** The figures that the suite publishes; a lane counts those that are its own. */
export interface Figures {
  readonly seeds?: number
  readonly effectiveFaults?: number
  readonly failpointPairs?: { readonly hit: number; readonly total: number }
  readonly kills?: number
  readonly abandoned?: number
  readonly finished?: number
  readonly zombies?: number
  readonly fenced?: number
  readonly lostAcks?: number
  readonly restarts?: number
  readonly terminations?: number
  readonly conflictTransactions?: number
  readonly mutants?: { readonly killed: number; readonly total: number }
  readonly recoveryP99Ms?: number
}

/** How much of it is wanted. */
export interface LaneOptions {
  /** Of the one run that a developer or CI waits for; 1 by default, a nightly run has more. Multiplies every target. */
  readonly scale: number
  /** Of the first simulated world, or of whatever the lane draws by chance. */
  readonly seed: number
  /** Simulated worlds; the lane's own target times `scale` by default. */
  readonly seeds?: number
  /** Told as the lane goes on. */
  readonly say: (line: string) => void
}

/** What came of a lane. */
export interface LaneReport {
  /** Faults that were injected, and those that hit something that was going on. */
  readonly attempted: number
  readonly effective: number
  /** Each with the one command that shows it again. */
  readonly violations: readonly string[]
  /** Why its green would mean nothing: no takeover, no replay, no fencing, no conflict, no lost acknowledgement; a target not met. */
  readonly hollow: readonly string[]
  readonly figures: Figures
  /** Whatever else is worth printing: a table of mutants, a distribution. */
  readonly notes?: readonly string[]
}

/** One lane. */
export interface Lane {
  /** `A` to `K`. */
  readonly letter: string
  /** What it does to the system, in a few words. */
  readonly title: string
  /** What is not installed and would be needed, or undefined: it can run. */
  readonly missing?: () => string | undefined
  run(options: LaneOptions): Promise<LaneReport>
}

/** A part of a lane that is several faults in one. */

/** What came of one. */
export interface Part {
  readonly attempted: number
  readonly effective: number
  readonly violations: readonly string[]
  readonly hollow: readonly string[]
  readonly notes: readonly string[]
}

/** What came of all. */
export function together(parts: readonly Part[]): Part {
  return {
    attempted: parts.reduce((sum, part) => sum + part.attempted, 0),
    effective: parts.reduce((sum, part) => sum + part.effective, 0),
    violations: parts.flatMap(({ violations }) => violations),
    hollow: parts.flatMap(({ hollow }) => hollow),
    notes: parts.flatMap(({ notes }) => notes),
  }
}

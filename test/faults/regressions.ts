/** Seeds of the simulation that once found a defect, with what it was. They are run first, for ever. */

/** One of them. */
export interface Regression {
  readonly seed: number
  readonly found: string
}

/** A seed says the same only as long as the simulation draws the same: the defect's own mutant or test holds it as well. */
export const REGRESSIONS: readonly Regression[] = [
  { seed: 57, found: 'a call that went out under two names, of an old and a new version' },
  { seed: 82, found: 'the same, by a completer' },
  { seed: 135, found: 'a record that no version could go on with' },
]

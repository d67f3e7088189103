/**
 * The corpus of planted defects: each was met in the wild, or is a step of the protocol left out. They are planted from
 * outside, in the text of a statement, in a store that stands before the real one, or in how a route asks, so nothing in
 * `src/` knows of them. The simulation must find every one of them.
 */
import { KEPT_MUTANTS } from './mutants-of-keys.ts'
import { STATEMENT_MUTANTS } from './mutants-of-statements.ts'
import { STORE_MUTANTS } from './mutants-of-stores.ts'
import type { Mutant } from './planting.ts'

/** All of them. */
export const MUTANTS: readonly Mutant[] = [...STATEMENT_MUTANTS, ...STORE_MUTANTS, ...KEPT_MUTANTS]

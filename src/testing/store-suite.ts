/**
 * The store suite: everything the protocol asks of a store, each as one test of the caller's own runner. It knows a
 * store from outside only, so it runs on any.
 */
import { ACKNOWLEDGEMENT_CASES } from './acknowledgement-cases.ts'
import { BACKLOG_CASES } from './backlog-cases.ts'
import { CALL_CASES } from './call-cases.ts'
import { CLAIM_CASES } from './claim-cases.ts'
import { CLOSING_CASES } from './closing-cases.ts'
import { CONTENT_CASES } from './content-cases.ts'
import { ERASE_CASES } from './erase-cases.ts'
import { STAGE_CASES } from './stage-cases.ts'
import { STEP_CASES } from './step-cases.ts'
import { STOPPING_CASES } from './stopping-cases.ts'
import { type StoreCase, StoreKit } from './store-kit.ts'
import type { StoreUnderTest } from './store-under-test.ts'
import { TIME_CASES } from './time-cases.ts'

/** What the suite needs of a test runner: vitest's and jest's own names; `before` and `after` of `node:test`. */
export interface TestRunner {
  readonly describe: (title: string, define: () => void) => unknown
  readonly test: (title: string, run: () => Promise<void>) => unknown
  readonly beforeAll: (run: () => Promise<void>) => unknown
  readonly afterAll: (run: () => Promise<void>) => unknown
}

/** What of a store is to be proved. */
export interface StoreSuite<Tx, Isolation extends string> {
  /** The name of the store. */
  readonly name: string
  /** Opens it on fresh tables, or keys of its own. Called once. */
  readonly open: () => Promise<StoreUnderTest<Tx, Isolation>>
  /**
   * What the store under test brings along, beside itself. Cases that need more are left out, so say all there is.
   * `['effects', 'faults', 'isolation', 'backlog', 'erase']` by default. The last two are the store's own.
   */
  readonly parts?: readonly NonNullable<StoreCase['needs']>[]
}

const PARTS = ['effects', 'faults', 'isolation', 'backlog', 'erase'] as const

const CASES: readonly StoreCase[] = [
  ...CLAIM_CASES,
  ...STAGE_CASES,
  ...CALL_CASES,
  ...ACKNOWLEDGEMENT_CASES,
  ...STEP_CASES,
  ...TIME_CASES,
  ...CONTENT_CASES,
  ...CLOSING_CASES,
  ...BACKLOG_CASES,
  ...STOPPING_CASES,
  ...ERASE_CASES,
]

/**
 * Defines the tests of one store.
 *
 * @example
 * ```ts
 * import { afterAll, beforeAll, describe, test } from 'vitest'
 * import { testStore } from 'pawl/testing'
 *
 * testStore({ describe, test, beforeAll, afterAll }, { name: 'my store', open })
 * ```
 */
export function testStore<Tx, Isolation extends string>(
  { describe, test, beforeAll, afterAll }: TestRunner,
  { name, open, parts = PARTS }: StoreSuite<Tx, Isolation>,
): void {
  describe(name, () => {
    let kit: StoreKit | undefined
    beforeAll(async () => {
      const under = await open()
      kit = new StoreKit(under)
      for (const part of parts) {
        const given = part === 'backlog' || part === 'erase' ? under.store[part] : under[part]
        if (given === undefined)
          throw new Error(`${name}: open() gave no "${part}", which \`parts\` names`)
      }
    })
    afterAll(async () => {
      await kit?.under.close()
    })
    for (const { title, needs, run } of CASES) {
      if (needs !== undefined && !parts.includes(needs)) continue
      test(title, async () => {
        if (kit === undefined) throw new Error(`${name} could not be opened`)
        await run(kit)
      })
    }
  })
}

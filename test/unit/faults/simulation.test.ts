/**
 * Goal: the simulation says the same of a seed each time, and something of a defect. Method: a few worlds, twice; seeds that
 * once found a defect; and one planted defect. The ten thousands are `npm run test:faults -- --lanes A,K`.
 */
import { expect, test } from 'vitest'
import { REGRESSIONS } from '../../faults/regressions.ts'
import { MUTANTS } from '../../faults/simulation/mutants.ts'
import { simulate } from '../../faults/simulation/world.ts'

test.each([1, 2, 3, 4, 5, 6, 7, 8])('seed %i: one history, and no breach in it', async (seed) => {
  const { history, violations } = await simulate(seed)
  expect(violations).toEqual([])
  expect((await simulate(seed)).history.digest()).toBe(history.digest())
})

test.each(REGRESSIONS)('seed $seed, which once found $found', async ({ seed }) => {
  expect((await simulate(seed)).violations).toEqual([])
})

test('a planted defect is found', async () => {
  const mutant = MUTANTS.find(({ name }) => name === 'a claim overwrites what is in flight')
  const worlds = []
  for (let seed = 1; seed <= 20; seed++) worlds.push(await simulate(seed, mutant))
  expect(worlds.some(({ violations }) => violations.length > 0)).toBe(true)
})

test('defects have names of their own', () => {
  expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length)
})

/** Goal: a figure that has fallen by more than a sixth or so is told, and nothing else is. */
import { expect, test } from 'vitest'
import { fallen } from '../../../bench/baseline.ts'
import type { Ratios } from '../../../bench/ratios.ts'

const ratios = (changes: Partial<Ratios> = {}): Ratios => ({
  ...{ firstRequest: { c1: 0.5, c32: 0.6, c256: 0.7 }, responseOnlyBatched: 5, vsMedusa: 3 },
  ...{ vsDbos: 4, vsRedisPeers: 0.8, httpExpress: 0.8, claimFlat: 1, replayFlat: 1 },
  ...changes,
})

test('what is as it was, or a little less, or better, is not told', () => {
  const firstRequest = { c1: 0.5, c32: 0.52, c256: 0.9 }
  expect(fallen(ratios(), ratios({ firstRequest }))).toEqual([])
})

test('what lost more than 15 % is told, with both figures', () => {
  const firstRequest = { c1: 0.5, c32: 0.5, c256: 0.7 }
  expect(fallen(ratios(), ratios({ firstRequest, vsMedusa: 2 }))).toEqual([
    expect.stringMatching(/^firstRequest\.c32 is 0\.50, and was 0\.60 in .*: a loss of 17 %/),
    expect.stringMatching(/^vsMedusa is 2\.00, and was 3\.00/),
  ])
})

test('flatness says how many times as slow a large table is: more of it is a loss, less is not', () => {
  expect(fallen(ratios(), ratios({ claimFlat: 1.1, replayFlat: 0.5 }))).toEqual([])
  expect(fallen(ratios(), ratios({ claimFlat: 1.3 }))).toEqual([
    expect.stringMatching(/^claimFlat is 1\.30, and was 1\.00/),
  ])
})

test('what did not run in one of the two is not compared', () => {
  expect(fallen(ratios({ vsMedusa: null }), ratios({ vsMedusa: 0.1, vsDbos: null }))).toEqual([])
})

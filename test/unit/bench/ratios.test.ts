/**
 * Goal: the figures that goals are set for are the ones that were measured, and none is made up. Method: a run with
 * nothing, then runs with comparisons of which the wrong one would be easy to take.
 */
import { expect, test } from 'vitest'
import type { Line } from '../../../bench/fit.ts'
import type { PeerRun } from '../../../bench/peers.ts'
import { ratiosOf, replayPerSecondOf, roundTripsOf } from '../../../bench/ratios.ts'
import { against, type Comparison, type Run } from '../../../bench/slices.ts'

const run = (name: string, concurrency: number, ...rates: number[]): Run => ({
  ...{ name, concurrency, rates, refused: 0, made: 1 },
})

const comparison = (
  guarded: string,
  bare: string,
  concurrency: number,
  ratio: number,
): Comparison => against(run(guarded, concurrency, ratio * 100), run(bare, concurrency, 100))

const peer = (name: string, keepsIn: PeerRun['keepsIn']): PeerRun => ({
  ...{ name, keepsIn, level: 'engine', durability: 'none', versions: {} },
})

const LINE: Line = { slope: 0, intercept: 0, r2: 1 }

test('what did not run is null', () => {
  expect(ratiosOf({ comparisons: [] })).toEqual({
    firstRequest: { c1: null, c32: null, c256: null },
    responseOnlyBatched: null,
    vsMedusa: null,
    vsDbos: null,
    vsRedisPeers: null,
    httpExpress: null,
    claimFlat: null,
    replayFlat: null,
  })
  const none = { database: null, cache: null, bestRedisPeer: null }
  expect(replayPerSecondOf({ comparisons: [] })).toEqual(none)
  expect(new Set(Object.values(roundTripsOf({ comparisons: [] })))).toEqual(new Set([null]))
})

test('each is found by its ways and its concurrency', () => {
  const { firstRequest, vsMedusa, httpExpress, responseOnlyBatched } = ratiosOf({
    comparisons: [
      comparison('with Pawl', 'handler alone', 1, 0.5),
      comparison('with Pawl, pipelined pool', 'handler alone', 32, 0.9),
      comparison('with Pawl', 'handler alone', 32, 0.6),
      comparison('with Pawl', 'handler alone', 256, 0.7),
      comparison('Express, with Pawl', 'Express, route alone', 32, 0.8),
      comparison('pawl/medusa', 'stages alone', 32, 0.4),
      comparison('pawl/medusa', '@medusajs/medusa', 1, 2),
      comparison('pawl/medusa', '@medusajs/medusa', 32, 3),
      comparison('response only, batched', 'response only, each its own statements', 256, 5),
    ],
  })
  expect(firstRequest).toEqual({ c1: 0.5, c32: 0.6, c256: 0.7 })
  expect([httpExpress, vsMedusa, responseOnlyBatched]).toEqual([0.8, 3, 5])
})

test('of several peers on Redis the fastest counts, the lowest of Pawl ÷ each; of DBOS its transaction', () => {
  const peers = {
    ran: [
      peer('with Pawl', 'PostgreSQL'),
      peer('a, Redis', 'Redis'),
      peer('b, Redis', 'Redis'),
      peer('@dbos-inc/dbos-sdk, a step', 'PostgreSQL'),
      peer('@dbos-inc/dbos-sdk, a transaction', 'PostgreSQL'),
    ],
    comparisons: [
      comparison('a, Redis', 'handler alone', 32, 0.1),
      comparison('with Pawl', 'a, Redis', 1, 0.2),
      comparison('with Pawl', 'a, Redis', 32, 0.9),
      comparison('with Pawl', 'b, Redis', 32, 1.1),
      comparison('with Pawl', '@dbos-inc/dbos-sdk, a step', 32, 3),
      comparison('with Pawl', '@dbos-inc/dbos-sdk, a transaction', 32, 4),
    ],
    replays: [
      { ...run('with Pawl', 32, 900), keepsIn: 'PostgreSQL' as const },
      { ...run('a, Redis', 32, 700), keepsIn: 'Redis' as const },
    ],
  }
  const found = { comparisons: [], peers }
  expect(ratiosOf(found)).toMatchObject({ vsRedisPeers: 0.9, vsDbos: 4 })
  expect(replayPerSecondOf(found)).toMatchObject({ database: null, bestRedisPeer: 700 })
  const runs = [
    run('replay, one key', 256, 1_000),
    run('replay, one key', 1_024, 1_500),
    run('replay, any of many keys', 256, 2_000),
    run('b, Redis', 256, 800),
  ]
  const replay = { runs, redisPeer: 'b, Redis' }
  expect(replayPerSecondOf({ ...found, replay })).toMatchObject({
    ...{ database: 1_500, bestRedisPeer: 800 },
  })
})

test('flat is the rate at 10,000 keys ÷ the rate at most', () => {
  const point = (x: number, relative: number) => ({
    ...{ x, perSecond: 1, relative, relativeMin: relative, relativeMax: relative },
  })
  const about = { of: 'keys', reference: 10_000, growth: LINE, line: LINE }
  const points = [point(1_000, 1.1), point(10_000, 1), point(1_000_000, 0.8)]
  const growth = { series: [{ ...about, name: 'claim', points }] }
  expect(ratiosOf({ comparisons: [], growth })).toMatchObject({ claimFlat: 1.25, replayFlat: null })
})

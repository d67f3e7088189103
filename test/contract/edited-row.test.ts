/**
 * Goal: what somebody did to one row by hand stays that row's trouble. Method: a row is spoiled, and claimed in one batch
 * with others.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createIdempotency } from '../../src/index.ts'
import { type SqlStoreUnderTest, STORES } from './stores.ts'

describe.each(STORES)('%s', (_, open) => {
  let under: SqlStoreUnderTest
  beforeAll(async () => {
    under = await open()
  })
  afterAll(async () => {
    await under.close()
  })

  test('a row that somebody edited by hand fails the claims of its own key alone', async () => {
    const request = (key: string) => ({ operation: 'charge', scope: 'u1', key, input: {} })
    const process = () => createIdempotency({ store: under.store })
    await process().run(request('spoiled'), () => ({ body: 'ok' }))
    const spoil = `update ${under.table} set state = 'odd' where idempotency_key = 'spoiled'`
    await under.sql(spoil)
    const idempotency = process()
    const answers = await Promise.allSettled(
      ['a', 'b', 'spoiled', 'c'].map((key) => idempotency.run(request(key), () => ({}))),
    )
    const outcomes = answers.map(({ status }) => status)
    expect(outcomes).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled'])
    expect(answers[2]).toMatchObject({ reason: { code: 'invariant_violated' } })
  })
})

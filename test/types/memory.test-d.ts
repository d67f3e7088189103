/** Goal: in a test `tx` is what the test hands in, and an own store is proved in one call. */
import type { PoolClient } from 'pg'
import { expectTypeOf, test } from 'vitest'
import { after, before, describe, test as nodeTest } from 'node:test'
import { createIdempotency } from '../../src/index.ts'
import { memoryStore } from '../../src/memory/index.ts'
import { type StoreUnderTest, testStore } from '../../src/testing/index.ts'

declare const fake: PoolClient

test('tx is what the transaction gives, or nothing', () => {
  const run = createIdempotency({ store: memoryStore() }).currentRun()
  void run.stage('a', (tx) => {
    expectTypeOf(tx).toEqualTypeOf<undefined>()
  })
  const store = memoryStore<PoolClient>({ transaction: (work) => work(fake) })
  const inPg = createIdempotency({ store }).currentRun()
  void inPg.stage('a', (tx) => {
    expectTypeOf(tx).toEqualTypeOf<PoolClient>()
  })
})

test('the runners of Node and vitest both fit', () => {
  const open = (): Promise<StoreUnderTest<undefined, never>> =>
    Promise.resolve({ store: memoryStore(), close: () => Promise.resolve() })
  testStore(
    { describe, test: nodeTest, beforeAll: before, afterAll: after },
    { name: 'mine', open, parts: [] },
  )
})

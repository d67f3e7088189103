/** Goal: a store that cannot open a transaction is not asked for ever. Method: a pool that takes its time to say so. */
import { expect, test } from 'vitest'
import { createIdempotency, StoreUnavailableError } from '../../../src/index.ts'
import { memoryStore } from '../../../src/memory/index.ts'

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

test('a stage that cannot be opened: given up after storeTimeout, not after five times what the pool waits', async () => {
  const store = memoryStore()
  let tries = 0
  store.commit = async () => {
    tries++
    await sleep(120)
    throw new StoreUnavailableError('opening a transaction')
  }
  const idempotency = createIdempotency({ store, storeTimeout: '100ms' })
  const going = idempotency.run(
    { operation: 'o', scope: 's', key: 'k', input: null },
    async (_, run) => {
      await run.stage('a', () => 1)
    },
  )
  await expect(going).rejects.toMatchObject({ code: 'store_unavailable' })
  expect(tries).toBe(1)
})

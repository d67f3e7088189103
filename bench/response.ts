/**
 * Requests without rows of their own: a claim, then a finish, each in autocommit. What sharing statements between those
 * that come at a time makes of them: one store for all ÷ a store for each, whose batches are of one.
 */
import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { createIdempotency, type Idempotency } from 'pawl'
import { pgStore } from 'pawl/pg'
import type { Way } from './slices.ts'
import { RIDE } from './workloads.ts'

/** One at a time, as they do behind a server's limit: of the answers to one request, that it was the handler's. */
async function answer(idempotency: Idempotency<pg.PoolClient>): Promise<void> {
  const result = await idempotency.run({ ...RIDE, key: randomUUID() }, () => ({
    status: 201,
    body: { to: 'Oslo' },
  }))
  if (result.kind !== 'finished') throw new Error(`a fresh key was answered with ${result.kind}`)
}

/** @param concurrency - of the slices: as many stores, all on one pool */
export function responseWays(
  pool: pg.Pool,
  concurrency: number,
): readonly [alone: Way, batched: Way] {
  const shared = createIdempotency({ store: pgStore(pool) })
  const idle = Array.from({ length: concurrency }, () =>
    createIdempotency({ store: pgStore(pool) }),
  )
  return [
    {
      name: 'response only, each its own statements',
      request: async () => {
        const own = idle.pop()
        if (own === undefined) throw new Error('more requests at a time than there are stores')
        await answer(own)
        idle.push(own)
      },
    },
    { name: 'response only, batched', request: () => answer(shared) },
  ]
}

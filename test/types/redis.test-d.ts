/** Goal: over a store of responses there is no stage and no finish, in HTTP or outside of it; the rest of a run is there. */
import type { Cluster, Redis } from 'ioredis'
import type { createClient, createClientPool, createCluster } from 'redis'
import { expectTypeOf, test } from 'vitest'
import type { PoolClient } from 'pg'
import { idempotent as onExpress } from '../../src/frameworks/express.ts'
import { idempotent as onFetch } from '../../src/frameworks/fetch.ts'
import { createIdempotency, type ResponseRun, type Store } from '../../src/index.ts'
import { frontCache, redisStore } from '../../src/redis/index.ts'

declare const redis: Redis
declare const inPostgres: Store<PoolClient, 'serializable'>
const route = { operation: 'o', scope: 'public' } as const

test('every client fits', () => {
  redisStore(redis)
  redisStore({} as Cluster)
  redisStore({} as ReturnType<typeof createClient>)
  redisStore({} as ReturnType<typeof createClientPool>)
  redisStore({} as ReturnType<typeof createCluster>)
  // @ts-expect-error a URL is no client
  redisStore('redis://127.0.0.1')
})

test('a run has calls, no stage and no finish', () => {
  const idempotency = createIdempotency({ store: redisStore(redis) })
  const run = idempotency.currentRun()
  expectTypeOf(run).toEqualTypeOf<ResponseRun>()
  expectTypeOf(run.call('a', () => 1)).toEqualTypeOf<Promise<number>>()
  // @ts-expect-error there are no transactions
  void run.stage
  // @ts-expect-error there are no transactions
  void run.finish
  onExpress(idempotency, route, async (_, itsRun) => {
    // @ts-expect-error there are no transactions
    await itsRun.stage('a', () => 1)
    return { body: await itsRun.call('b', () => 2) }
  })
  onFetch(idempotency, route, async (_, itsRun) => {
    // @ts-expect-error there are no transactions
    await itsRun.finish(() => ({}))
    return { body: await itsRun.call('b', () => 2) }
  })
})

test('behind Redis a store keeps its transactions', () => {
  const run = createIdempotency({ store: frontCache(inPostgres, redis) }).currentRun()
  void run.stage(
    'a',
    (tx) => {
      expectTypeOf(tx).toEqualTypeOf<PoolClient>()
    },
    { isolation: 'serializable' },
  )
})

/**
 * Goal: what has no stages holds in Redis as anywhere. Method: the suite of `pawl/testing` on real servers, one and a
 * cluster of three.
 */
import { afterAll, beforeAll, describe, test } from 'vitest'
import { testStore } from '../../src/testing/index.ts'
import { openPg } from './stores-pg.ts'
import { openBehindRedis, REDIS_STORES } from './stores-redis.ts'

for (const [name, open] of REDIS_STORES)
  testStore({ describe, test, beforeAll, afterAll }, { name, open, parts: ['closed'] })

testStore(
  { describe, test, beforeAll, afterAll },
  { name: 'redis, in front of pg', open: async () => openBehindRedis(await openPg(false)) },
)

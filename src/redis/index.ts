/**
 * `pawl/redis`: responses in Redis, with `redis` (node-redis) or `ioredis`: at-least-once with duplicate suppression.
 * @module
 */
export { frontCache } from './front-cache.ts'
export type {
  IoredisClusterLike,
  IoredisLike,
  NodeRedisClusterLike,
  NodeRedisLike,
  RedisClientLike,
} from './redis-clients.ts'
export { redisStore, type RedisStoreOptions } from './redis-store.ts'

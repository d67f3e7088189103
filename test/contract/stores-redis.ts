/** `pawl/redis` under the contract suite, without stages: both libraries, on one server and on a cluster of three. */
import { Cluster, Redis as Ioredis } from 'ioredis'
import { createClient, createCluster } from 'redis'
import type { ResponseStore } from '../../src/core/response-run.ts'
import { frontCache, redisStore } from '../../src/redis/index.ts'
import type { StoreUnderTest } from '../../src/testing/index.ts'
import { type Redis, startRedis, startRedisCluster } from '../support/redis.ts'

/** A client, and its end. */
interface Connected {
  readonly client: Parameters<typeof redisStore>[0]
  end(): Promise<unknown>
}

type Connect = (ports: readonly number[]) => Promise<Connected>

const HOST = '127.0.0.1'
const urlOf = (port: number | undefined): string => `redis://${HOST}:${String(port)}`
const quiet = (): void => undefined

async function nodeRedis([port]: readonly number[]): Promise<Connected> {
  const client = createClient({ url: urlOf(port) })
  client.on('error', quiet)
  await client.connect()
  return { client, end: () => Promise.resolve(client.destroy()) }
}

async function nodeRedisCluster(ports: readonly number[]): Promise<Connected> {
  const client = createCluster({ rootNodes: ports.map((port) => ({ url: urlOf(port) })) })
  client.on('error', quiet)
  await client.connect()
  return { client, end: () => Promise.resolve(client.destroy()) }
}

function ioredis([port = 0]: readonly number[]): Promise<Connected> {
  const client = new Ioredis(port, HOST)
  client.on('error', quiet)
  return Promise.resolve({ client, end: () => Promise.resolve(client.disconnect()) })
}

function ioredisCluster(ports: readonly number[]): Promise<Connected> {
  const client = new Cluster(ports.map((port) => ({ host: HOST, port })))
  client.on('error', quiet)
  return Promise.resolve({ client, end: () => Promise.resolve(client.disconnect()) })
}

async function openOn(start: () => Promise<Redis>, connect: Connect) {
  const server = await start()
  const { client, end } = await connect(server.ports)
  const store = redisStore(client)
  await store.migrate()
  const closed = async (): Promise<ResponseStore> => {
    const other = await connect(server.ports)
    const over = redisStore(other.client)
    await over.migrate()
    await other.end()
    return over
  }
  const close = async (): Promise<void> => {
    await end()
    await server.remove()
  }
  return { store, closed, close }
}

type OpenRedis = () => Promise<StoreUnderTest<never, never>>

export const REDIS_STORES: readonly (readonly [name: string, open: OpenRedis])[] = [
  ['redis, node-redis', () => openOn(startRedis, nodeRedis)],
  ['redis, ioredis', () => openOn(startRedis, ioredis)],
  ['redis, node-redis, Cluster', () => openOn(startRedisCluster, nodeRedisCluster)],
  ['redis, ioredis, Cluster', () => openOn(startRedisCluster, ioredisCluster)],
]

/** Another store, with Redis in front of it. */
export async function openBehindRedis<Tx, Isolation extends string>(
  under: StoreUnderTest<Tx, Isolation>,
): Promise<StoreUnderTest<Tx, Isolation>> {
  const server = await startRedis()
  const { client, end } = await nodeRedis(server.ports)
  const close = async (): Promise<void> => {
    await under.close()
    await end()
    await server.remove()
  }
  return { ...under, store: frontCache(under.store, client), close }
}

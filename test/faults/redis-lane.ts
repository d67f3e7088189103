/**
 * Lane J: Redis stands before the database and loses what it knew: all of it, some of it, its scripts, and what its
 * replica had not yet heard of when it took its place. It costs speed; effects and answers stay one.
 */
import { Redis as Ioredis } from 'ioredis'
import { frontCache } from '../../src/redis/index.ts'
import { hasRedis, type Redis, startRedis } from '../support/redis.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { mixedKeys, startClients } from './clients.ts'
import type { Lane, LaneOptions } from './lane.ts'
import { createLedger, hollowOf, pause, randomOf, said, violationsOf } from './ledger.ts'
import { startNodes } from './nodes.ts'
import { type RidesPostgres, startRidesPostgres } from './rides-postgres.ts'

const NODES = 2
const CLIENTS = 6
const LEASE_MS = 500
const FOR_MS = 3_000
const EVERY_MS = 100
const FAILOVERS = 3
const REPLICATION_MAX_MS = 10_000
const MEMORY = ['config', 'set', 'maxmemory', '2mb']

export const redisLane: Lane = {
  letter: 'J',
  title: 'Redis before the database: flushed, evicting, without its scripts, failed over',
  missing: () => (hasRedis() ? undefined : 'Redis is not installed'),
  run: async (options) => {
    const database = await startRidesPostgres()
    const servers = await Promise.all([startRedis(), startRedis()])
    try {
      return await forgetting(database, servers, options)
    } finally {
      await Promise.all(servers.map((server) => server.remove()))
      await database.remove()
    }
  },
}

interface Count {
  flushes: number
  scriptFlushes: number
  failovers: number
  hits: number
  evicted: number
  noScript: number
}

async function forgetting(
  database: RidesPostgres,
  [first, second]: readonly Redis[],
  { scale, seed, say }: LaneOptions,
) {
  if (first === undefined || second === undefined) throw new Error('two servers are needed')
  const random = randomOf(seed)
  const proxy = await startTcpProxy(portOf(first))
  const clientsOfRedis: Ioredis[] = []
  const ledger = createLedger()
  const nodes = startNodes({
    ...{ ledger, random, leaseMs: LEASE_MS, storeTimeoutMs: 2_000, completerMs: 300 },
    urls: Array.from({ length: NODES }, () => database.url),
    before: (store) => {
      const client = new Ioredis(proxy.port, '127.0.0.1', { retryStrategy: () => 50 })
      client.on('error', () => undefined)
      clientsOfRedis.push(client)
      return frontCache(store, client)
    },
  })
  const clients = startClients({
    ...{ ledger, random, ask: nodes.ask, count: CLIENTS, replay: 0.6, neverRetry: 0.1 },
    nextKey: mixedKeys('j', random, { hot: 12, share: 0.6, everyMs: 500 }),
  })
  const count: Count = {
    flushes: 0,
    scriptFlushes: 0,
    failovers: 0,
    hits: 0,
    evicted: 0,
    noScript: 0,
  }
  // A process for each command would stand in the way of those who are asked.
  const admin = new Ioredis(portOf(first), '127.0.0.1')
  const each = async (work: () => Promise<unknown>): Promise<void> => {
    const until = performance.now() + FOR_MS * scale
    while (performance.now() < until) {
      await pause(EVERY_MS)
      await work()
    }
  }
  await each(() => {
    count.flushes++
    return admin.flushall()
  })
  await each(() => {
    count.scriptFlushes++
    return admin.script('FLUSH')
  })
  first.cli(...MEMORY)
  first.cli('config', 'set', 'maxmemory-policy', 'allkeys-lru')
  await each(() => admin.set(`filler:${String(random())}`, 'x'.repeat(100_000)))
  admin.disconnect()
  first.cli('config', 'set', 'maxmemory', '0')
  tally(first, count)
  say('forgotten, evicted; now failovers')
  let [primary, replica] = [first, second]
  for (let nth = 0; nth < Math.max(1, FAILOVERS * scale); nth++) {
    await failOver(primary, replica, async () => proxy.pointTo(portOf(replica)))
    count.failovers++
    tally(replica, count)
    ;[primary, replica] = [replica, primary]
  }
  await clients.settle()
  tally(primary, count)
  await unfinished(database)
  const again = `npm run test:faults -- --lanes J --seed ${String(seed)} --scale ${String(scale)}`
  const violations = await violationsOf(ledger, database, { again })
  await nodes.end()
  for (const client of clientsOfRedis) client.disconnect()
  await proxy.close()
  const attempted = count.flushes + count.scriptFlushes + count.failovers + count.evicted
  return {
    attempted,
    effective: attempted,
    violations,
    hollow: hollowOf({
      'outcomes replayed from Redis': [count.hits, 1],
      'outcomes evicted': [count.evicted, 1],
      'scripts that Redis had forgotten': [count.noScript, 1],
      failovers: [count.failovers, 1],
      replays: [ledger.counts.replays, 1],
    }),
    figures: {},
    notes: [
      `${count.flushes} times FLUSHALL, ${count.scriptFlushes} times SCRIPT FLUSH (NOSCRIPT ×${count.noScript}), ` +
        `${count.evicted} keys evicted, ${count.failovers} failovers to a replica that had not heard the last`,
      `${ledger.keys.size} keys, ${ledger.counts.replays} replays, ${count.hits} found in Redis; ${said(ledger.problems)}; ` +
        said(nodes.events),
    ],
  }
}

/** The replica stops hearing of the primary, the primary goes on for a while and dies, and the replica takes its place. */
async function failOver(
  primary: Redis,
  replica: Redis,
  takeOver: () => Promise<void>,
): Promise<void> {
  replica.cli('replicaof', '127.0.0.1', String(portOf(primary)))
  const until = performance.now() + REPLICATION_MAX_MS
  while (!replica.cli('info', 'replication').includes('master_link_status:up')) {
    if (performance.now() > until) throw new Error('the replica did not hear of its primary')
    await pause(50)
  }
  await pause(200)
  replica.cli('replicaof', 'no', 'one')
  await pause(400) // What is remembered now is known to the primary alone.
  await primary.kill()
  await takeOver()
  await pause(300)
  await primary.start()
}

function portOf({ ports }: Redis): number {
  return ports[0] ?? 0
}

/** Adds what a server has counted, and lets it count anew. */
function tally(server: Redis, count: Count): void {
  const stats = server.cli('info', 'stats')
  count.hits += numberIn(stats, /keyspace_hits:(\d+)/)
  count.evicted += numberIn(stats, /evicted_keys:(\d+)/)
  count.noScript += numberIn(server.cli('info', 'errorstats'), /errorstat_NOSCRIPT:count=(\d+)/)
  server.cli('config', 'resetstat')
}

function numberIn(text: string, pattern: RegExp): number {
  return Number(pattern.exec(text)?.[1] ?? 0)
}

async function unfinished(database: RidesPostgres): Promise<void> {
  const until = performance.now() + 10_000
  while (performance.now() < until) {
    if ((await database.records()).every(({ state }) => state === 'finished')) return
    await pause(50)
  }
}

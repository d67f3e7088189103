/** Goal: what is special about Redis: what it forgets, and what it is asked to keep. Real servers, killed and stopped. */
import { Redis as Ioredis } from 'ioredis'
import pg from 'pg'
import { createClient } from 'redis'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { createOperator } from '../../src/admin/index.ts'
import { idOf } from '../../src/core/identity.ts'
import { pgStore } from '../../src/databases/pg.ts'
import { createIdempotency, type Store } from '../../src/index.ts'
import { frontCache, redisStore } from '../../src/redis/index.ts'
import { pause } from '../support/api-process.ts'
import { type Redis, startRedis } from '../support/redis.ts'

let server: Redis
let client: Ioredis
let keys = 0
const request = () => ({ operation: 'o', scope: 's', key: `k${String(++keys)}`, input: null })
const connect = (): Ioredis => {
  const one = new Ioredis(server.ports[0] ?? 0, { maxRetriesPerRequest: null })
  one.on('error', () => undefined)
  return one
}

beforeAll(async () => {
  server = await startRedis()
  client = connect()
})
afterAll(async () => {
  client.disconnect()
  await server.remove()
})
beforeEach(async () => {
  await client.config('SET', 'maxmemory-policy', 'noeviction')
})

describe('a Redis that evicts', () => {
  test('is refused at the start, with what to set; nothing runs', async () => {
    await client.config('SET', 'maxmemory-policy', 'allkeys-lru')
    const store = redisStore(client)
    await expect(store.migrate()).rejects.toMatchObject({ code: 'config_invalid' })
    let ran = false
    const go = createIdempotency({ store }).run(request(), () => {
      ran = true
    })
    await expect(go).rejects.toThrow(/maxmemory-policy is allkeys-lru: .* Set it to noeviction/)
    expect(ran).toBe(false)
    expect(await store.check()).toMatchObject([{ code: 'evicts' }])
    await client.config('SET', 'maxmemory-policy', 'noeviction')
    expect(await store.check()).toEqual([])
    await store.migrate()
  })

  test('one that does not write to disk is named by check()', async () => {
    await client.config('SET', 'appendonly', 'no')
    expect(await redisStore(client).check()).toMatchObject([{ code: 'not_durable' }])
    await client.config('SET', 'appendonly', 'yes')
  })
})

test('an answer that was acknowledged outlives SIGKILL of the server, where it writes before it answers', async () => {
  const own = await startRedis()
  const over = new Ioredis(own.ports[0] ?? 0, { maxRetriesPerRequest: null })
  over.on('error', () => undefined)
  const idempotency = createIdempotency({ store: redisStore(over) })
  const it = request()
  await idempotency.run(it, () => ({ status: 201, body: 'kept' }))
  await own.kill()
  await own.start()
  expect(await idempotency.run(it, () => ({}))).toMatchObject({ replayed: true })
  over.disconnect()
  await own.remove()
})

test('scripts that the server has forgotten are sent again', async () => {
  const idempotency = createIdempotency({ store: redisStore(client) })
  await idempotency.run(request(), () => ({}))
  await client.script('FLUSH')
  expect(await idempotency.run(request(), () => ({}))).toMatchObject({ stored: true })
})

test('33 · Redis forgets what has ended and what nothing is known of, never what a call was sent for', async () => {
  const idempotency = createIdempotency({ store: redisStore(client, { prefix: 'ttl:' }) })
  const left = async (key: string): Promise<number> => {
    const names = await client.keys('ttl:*')
    for (const name of names) {
      if ((await client.hget(name, 'idempotency_key')) === key) return await client.pttl(name)
    }
    return NaN
  }
  const it = request()
  const seen: number[] = []
  await idempotency.run(it, async (_, run) => {
    seen.push(await left(it.key))
    await run.call('charged', () => 1)
    seen.push(await left(it.key))
    return { body: 'x' }
  })
  seen.push(await left(it.key))
  expect(seen[0]).toBeGreaterThan(80_000_000)
  expect(seen[1]).toBe(-1)
  expect(seen[2]).toBeGreaterThan(80_000_000)
})

test('a stage is refused at once, and says where stages are', async () => {
  const idempotency = createIdempotency({ store: redisStore(client) })
  const go = idempotency.run(request(), async (_, run) => {
    await (run as unknown as { stage: (name: string, work: () => null) => Promise<null> }).stage(
      'a',
      () => null,
    )
  })
  await expect(go).rejects.toMatchObject({ code: 'step_misused' })
  await expect(go).rejects.toThrow(/has no transactions.*pgStore/)
})

test('a server that refuses a command is told apart from one that does not answer', async () => {
  await client.call('ACL', 'SETUSER', 'reader', 'on', 'nopass', '~*', '+@read', '+info')
  const reader = createClient({
    url: `redis://reader:x@127.0.0.1:${String(server.ports[0] ?? 0)}`,
  })
  await reader.connect()
  const go = createIdempotency({ store: redisStore(reader) }).run(request(), () => ({}))
  await expect(go).rejects.toMatchObject({ code: 'store_failed' })
  reader.destroy()
})

test('what is no client, and a prefix that puts all into one slot, are refused', () => {
  expect(() => redisStore({} as never)).toThrow(/config_invalid: redisStore: expected a client/)
  expect(() => redisStore(client, { prefix: '{pawl}' })).toThrow(/config_invalid: prefix/)
  expect(() => frontCache({} as never, {} as never)).toThrow(/config_invalid: frontCache/)
})

describe('in front of PostgreSQL', () => {
  const pool = new pg.Pool({ connectionString: inject('postgresUrl') })
  afterAll(async () => {
    await pool.end()
  })

  function setup(redis: Ioredis) {
    const store = pgStore(pool)
    let claims = 0
    const counted = new Proxy(store, {
      get: (target, name) => {
        if (name === 'claim') claims++
        const value: unknown = Reflect.get(target, name)
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })
    const idempotency = createIdempotency({ store: frontCache(counted as Store<unknown>, redis) })
    return { idempotency, claims: () => claims }
  }
  const it = () => ({ ...request(), scope: `front-${String(process.pid)}` })
  const body = Uint8Array.from({ length: 256 }, (_, at) => at)
  const response = { status: 201, headers: { location: '/1' }, body }

  test('a replay comes from Redis, byte for byte, and the database is not asked', async () => {
    const { idempotency, claims } = setup(client)
    const twice = async () => {
      const asked = it()
      const before = claims()
      const first = await idempotency.run(asked, () => response)
      const again = await idempotency.run(asked, () => ({}))
      return { first, again, claims: claims() - before }
    }
    let { first, again, claims: asked } = await twice()
    // Redis that did not answer within 50 ms, as on a busy machine, is left alone for a second.
    for (let others = 0; asked !== 1 && others < 5; others++) {
      await pause(1_100)
      ;({ first, again, claims: asked } = await twice())
    }
    expect(asked).toBe(1)
    expect(again).toMatchObject({ replayed: true })
    expect('outcome' in again && [again.outcome.status, again.outcome.headers]).toEqual(
      'outcome' in first && [201, first.outcome.headers],
    )
    expect('outcome' in again && Buffer.from(again.outcome.body ?? []).equals(body)).toBe(true)
  })

  test('19 · another payload is a mismatch from Redis, too', async () => {
    const { idempotency, claims } = setup(client)
    const asked = it()
    await idempotency.run(asked, () => response)
    await expect
      .poll(async () => (await idempotency.run({ ...asked, input: 1 as never }, () => ({}))).kind)
      .toBe('mismatch')
    expect(claims()).toBeGreaterThan(0)
  })

  test('an outcome that is kept for less than a minute is not remembered', async () => {
    const { idempotency, claims } = setup(client)
    const asked = { ...it(), retention: '59s' } as const
    await idempotency.run(asked, () => response)
    await idempotency.run(asked, () => response)
    expect(claims()).toBe(2)
  })

  test('what is forgotten or purged is not replayed from Redis, and not remembered again', async () => {
    const { idempotency } = setup(client)
    const operator = createOperator(idempotency)
    const scope = `purged-${String(process.pid)}`
    const remembered = async () => {
      const asked = { ...it(), scope }
      await idempotency.run(asked, () => response)
      const key = `pawl:outcome:${idOf(asked)}`
      await expect.poll(() => client.exists(key), { timeout: 5_000 }).toBe(1)
      return { asked, key }
    }
    const one = await remembered()
    expect(await operator.forget(idOf(one.asked))).toBe('done')
    expect(await client.hgetall(one.key)).toEqual({ forgotten: '1' })
    expect(await idempotency.run(one.asked, () => response)).toMatchObject({ replayed: false })
    await pause(100)
    expect(await client.hgetall(one.key)).toEqual({ forgotten: '1' })
    expect(await idempotency.run(one.asked, () => ({}))).toMatchObject({ replayed: true })
    const two = await remembered()
    expect(await operator.purgeScope(scope)).toEqual({ erased: 2, left: 0 })
    expect(await client.hgetall(two.key)).toEqual({ forgotten: '1' })
    const again = await idempotency.run(two.asked, () => ({}))
    expect(again).toMatchObject({ replayed: true, outcome: { erased: true, body: undefined } })
  })

  test('where Redis does not answer, nothing is forgotten or purged, and the operator is told', async () => {
    const own = await startRedis()
    const over = new Ioredis(own.ports[0] ?? 0, { maxRetriesPerRequest: null })
    over.on('error', () => undefined)
    const { idempotency } = setup(over)
    const operator = createOperator(idempotency)
    const asked = { ...it(), scope: `stuck-${String(process.pid)}` }
    await idempotency.run(asked, () => response)
    const pid = Number(/process_id:(\d+)/.exec(own.cli('info', 'server'))?.[1])
    process.kill(pid, 'SIGSTOP')
    const unavailable = { code: 'store_unavailable' }
    await expect(operator.forget(idOf(asked))).rejects.toMatchObject(unavailable)
    await expect(operator.purgeScope(asked.scope)).rejects.toMatchObject(unavailable)
    await pause(1_500) // A try that was given up still waits for Redis.
    expect(await operator.find(idOf(asked))).toMatchObject({ scope: asked.scope })
    process.kill(pid, 'SIGCONT')
    await expect
      .poll(() => operator.purgeScope(asked.scope).catch(() => undefined), { timeout: 10_000 })
      .toEqual({ erased: 1, left: 0 })
    over.disconnect()
    await own.remove()
  })

  test('the store of responses is not purged by scope, and says why', async () => {
    const operator = createOperator(createIdempotency({ store: redisStore(client) }))
    await expect(operator.purgeScope('s')).rejects.toThrow(/config_invalid.*Redis forgets/)
    await expect(operator.purgeScope('')).rejects.toThrow(/config_invalid: purgeScope: expected/)
  })

  test('Redis that has lost everything, that stands still, or that is gone costs speed only', async () => {
    const own = await startRedis()
    const over = new Ioredis(own.ports[0] ?? 0, { maxRetriesPerRequest: null })
    over.on('error', () => undefined)
    const { idempotency } = setup(over)
    const asked = it()
    await idempotency.run(asked, () => response)
    const pid = Number(/process_id:(\d+)/.exec(own.cli('info', 'server'))?.[1])
    own.cli('flushall')
    expect(await idempotency.run(asked, () => ({}))).toMatchObject({ replayed: true })
    process.kill(pid, 'SIGSTOP')
    expect(await idempotency.run(asked, () => ({}))).toMatchObject({ replayed: true })
    expect(await idempotency.run(it(), () => response)).toMatchObject({ replayed: false })
    process.kill(pid, 'SIGCONT')
    await own.kill()
    expect(await idempotency.run(asked, () => ({}))).toMatchObject({ replayed: true })
    expect(await idempotency.run(it(), () => response)).toMatchObject({ replayed: false })
    over.disconnect()
    await own.remove()
  })
})

/**
 * Goal: every member of the reference does what it says, and what was unsound in the original is sound: a client's key
 * is honoured, a stage runs for one request at a time and once, a finished key answers and runs nothing.
 */
import type { EntityManager } from 'typeorm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { IdempotencyKeyService } from '../../src/medusa/index.ts'
import { type Host, openHost, TYPEORMS } from './host.ts'

const conflict = { type: 'conflict' }
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

describe.each(TYPEORMS)('%s', (_, lib) => {
  let host: Host
  let service: IdempotencyKeyService
  let keys = 0
  const fresh = (): string => `key-${String(++keys)}`
  beforeAll(async () => {
    host = await openHost(lib)
    service = host.service()
  })
  afterAll(() => host.close())

  const start = (key: string, from: IdempotencyKeyService = service) =>
    from.initializeRequest(key, 'POST', { id: 'cart_1' }, `/carts/${key}/complete`)
  const effect = (manager: EntityManager, step: string): Promise<unknown> =>
    manager.query(`insert into ${host.table}_effect values ($1)`, [step])
  const effects = (step: string) =>
    host.sql(`select 1 from ${host.table}_effect where step = $1`, [step])

  test('initializeRequest: the client’s key is stored on first use, and held', async () => {
    const key = fresh()
    const made = await start(key)
    expect(made).toMatchObject({
      idempotency_key: key,
      recovery_point: 'started',
      request_method: 'POST',
      request_params: { id: 'cart_1' },
      request_path: `/carts/${key}/complete`,
      response_code: null,
      response_body: null,
    })
    expect(made.id).toMatch(/^ikey_[0-9A-Z]{26}$/)
    expect(made.created_at).toBeInstanceOf(Date)
    expect(Object.keys(made)).toHaveLength(10)
    await expect(start(key, host.service())).rejects.toMatchObject(conflict)
  })

  test('initializeRequest: without a key, one is made up', async () => {
    const [first, second] = [await start(''), await start('')]
    expect(first.idempotency_key).toMatch(/^[0-9a-f-]{36}$/)
    expect(second.idempotency_key).not.toBe(first.idempotency_key)
  })

  test.each([
    ['method', ['PUT', { id: 'cart_1' }, '/a']],
    ['params', ['POST', { id: 'cart_2' }, '/a']],
    ['path', ['POST', { id: 'cart_1' }, '/b']],
  ] as const)(
    'initializeRequest: another %s under the key is a mismatch, unless that is ignored',
    async (_, other) => {
      const key = fresh()
      await service.initializeRequest(key, 'POST', { id: 'cart_1' }, '/a')
      await service.update(key, {
        recovery_point: 'finished',
        response_code: 200,
        response_body: {},
      })
      const [method, params, path] = other
      await expect(service.initializeRequest(key, method, params, path)).rejects.toMatchObject({
        type: 'invalid_data',
        code: 'payload_mismatch',
      })
      const lenient = host.service({ mismatch: 'ignore' })
      const found = await lenient.initializeRequest(key, method, params, path)
      expect(found.recovery_point).toBe('finished')
    },
  )

  test('initializeRequest: twenty at once, one begins', async () => {
    const key = fresh()
    const all = Array.from({ length: 20 }, () => start(key, host.service()))
    const answers = await Promise.allSettled(all)
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  })

  test('workStage: rows and recovery point in one commit, then the response, then a replay', async () => {
    const key = fresh()
    await start(key)
    const first = await service.workStage(key, async (manager) => {
      await effect(manager, key)
      return { recovery_point: 'payment_authorized' }
    })
    expect(first).toMatchObject({ recovery_point: 'payment_authorized', response_code: null })
    const body = { order: { z: 1, a: [1, 2] } }
    const last = await service.workStage(key, () =>
      Promise.resolve({ response_code: 201, response_body: body }),
    )
    expect(last).toMatchObject({ recovery_point: 'finished', response_code: 201, locked_at: null })
    const replay = await start(key, host.service())
    expect(JSON.stringify(replay.response_body)).toBe(JSON.stringify(last.response_body))
    expect(await effects(key)).toHaveLength(1)
  })

  test('workStage: a finished key comes back, and its callback does not run', async () => {
    const key = fresh()
    await start(key)
    await service.workStage(key, () => Promise.resolve({ response_code: 200, response_body: {} }))
    let ran = false
    const again = await service.workStage(key, () => {
      ran = true
      return Promise.resolve({ response_code: 500 })
    })
    expect([again.response_code, ran]).toEqual([200, false])
  })

  test('workStage: of a key that is not there', async () => {
    await expect(service.workStage(fresh(), () => Promise.resolve({}))).rejects.toMatchObject({
      type: 'not_found',
      code: 'key_not_found',
    })
  })

  test('workStage: what its callback throws passes as the same object, and a retry goes on at once', async () => {
    const key = fresh()
    await start(key)
    const own = new Error('sold out')
    const failing = service.workStage(key, async (manager) => {
      await effect(manager, key)
      throw own
    })
    await expect(failing).rejects.toBe(own)
    expect(await effects(key)).toEqual([])
    const retry = await start(key, host.service())
    expect(retry.recovery_point).toBe('started')
    await service.workStage(key, async (manager) => {
      await effect(manager, key)
      return { response_code: 200 }
    })
    expect(await effects(key)).toHaveLength(1)
  })

  test('workStage: another request cannot run a stage while one runs', async () => {
    const key = fresh()
    await start(key)
    const slow = service.workStage(key, async (manager) => {
      await effect(manager, key)
      await sleep(150)
      return { recovery_point: 'slow' }
    })
    await sleep(50)
    const other = host.service().workStage(key, () => Promise.resolve({ recovery_point: 'other' }))
    await expect(other).rejects.toMatchObject(conflict)
    expect((await slow).recovery_point).toBe('slow')
  })

  test('workStage: an attempt that was taken over is refused, whoever holds the key now', async () => {
    const key = fresh()
    await start(key)
    await host.sql(
      `update ${host.table} set owner = 'other', attempt = 2 where idempotency_key = $1`,
      [key],
    )
    const stage = () => service.workStage(key, () => Promise.resolve({ recovery_point: 'late' }))
    await expect(stage()).rejects.toMatchObject({ ...conflict, code: 'lease_lost' })
  })

  test('workStage: a serialization failure is tried again, also at COMMIT, and a nested phase is not', async () => {
    const key = fresh()
    await start(key)
    let tries = 0
    const flaky = (manager: EntityManager) => {
      tries++
      const code = tries < 3 ? '40001' : '00000'
      const raise = `do $$ begin if '${code}' <> '00000' then raise exception using errcode = '${code}'; end if; end $$`
      return manager.query(raise)
    }
    const done = await service.workStage(key, async (manager) => {
      await flaky(manager)
      return { recovery_point: 'steady' }
    })
    expect([done.recovery_point, tries]).toEqual(['steady', 3])
    tries = 0
    const nested = host.dataSource.transaction((tm) =>
      service.withTransaction(tm).workStage(key, async (manager) => {
        await flaky(manager)
        return { recovery_point: 'never' }
      }),
    )
    await expect(nested).rejects.toMatchObject({ code: '40001' })
    expect(tries).toBe(1)
  })

  test.each<unknown>(['', 7, 'x'.repeat(101)])(
    'a recovery point that cannot be one: %s',
    async (point) => {
      const key = fresh()
      await start(key)
      const bad = { recovery_point: point as string }
      const typed = { type: 'invalid_data', code: 'recovery_point_unknown' }
      await expect(service.workStage(key, () => Promise.resolve(bad))).rejects.toMatchObject(typed)
      await expect(service.update(key, bad)).rejects.toMatchObject(typed)
      expect((await service.retrieve(key)).recovery_point).toBe('started')
    },
  )

  test('lock: one request holds it, a lapsed lease is taken, and who began the request may lock it once', async () => {
    const key = fresh()
    const quick = host.service()
    await quick.create({ idempotency_key: key })
    expect((await quick.lock(key)).locked_at).toBeInstanceOf(Date)
    await expect(quick.lock(key)).rejects.toMatchObject(conflict)
    await host.sql(
      `update ${host.table} set locked_until = now() - interval '1 s' where idempotency_key = $1`,
      [key],
    )
    await quick.lock(key)
    const begun = fresh()
    await start(begun)
    await service.lock(begun)
    await expect(service.lock(begun)).rejects.toMatchObject(conflict)
    await expect(service.lock(fresh())).rejects.toMatchObject({ type: 'not_found' })
  })

  test('lock: twenty at once, one gets it', async () => {
    const key = fresh()
    await service.create({ idempotency_key: key })
    const answers = await Promise.allSettled(
      Array.from({ length: 20 }, () => host.service().lock(key)),
    )
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  })

  test('retrieve: by key, by columns, by one of several; none and several are typed errors', async () => {
    const [a, b] = [fresh(), fresh()]
    const path = `/paths/${a}`
    await service.create({ idempotency_key: a, request_path: path, request_method: 'GET' })
    await service.create({ idempotency_key: b, request_path: path })
    expect((await service.retrieve(a)).idempotency_key).toBe(a)
    expect(
      (await service.retrieve({ request_path: path, idempotency_key: b })).idempotency_key,
    ).toBe(b)
    const either = await service.retrieve({ idempotency_key: [a, 'none'], request_path: path })
    expect(either.idempotency_key).toBe(a)
    const other = await service.retrieve({ request_path: path, request_method: lib.Not('PUT') })
    expect(other.idempotency_key).toBe(a)
    await expect(service.retrieve({ request_path: path })).rejects.toMatchObject({
      code: 'key_ambiguous',
    })
    await expect(service.retrieve('none')).rejects.toMatchObject({ type: 'not_found' })
    await expect(service.retrieve(undefined as never)).rejects.toMatchObject({ type: 'not_found' })
  })

  test('create: a key that is there is a conflict, and the caller’s transaction goes on', async () => {
    const key = fresh()
    await service.create({ idempotency_key: key })
    await host.dataSource.transaction(async (tm) => {
      const inside = service.withTransaction(tm)
      await expect(inside.retrieve('none')).rejects.toMatchObject({ type: 'not_found' })
      await expect(inside.create({ idempotency_key: key })).rejects.toMatchObject(conflict)
      await effect(tm, key)
    })
    expect(await effects(key)).toHaveLength(1)
  })

  test('update: sets columns, returns what is stored, and leaves a finished key as it is', async () => {
    const key = fresh()
    await start(key)
    const body = { error: { z: 1, a: 2 } }
    const updated = await service.update(key, { request_method: 'PATCH', recovery_point: 'mapped' })
    expect(updated).toMatchObject({ request_method: 'PATCH', recovery_point: 'mapped' })
    const finished = { recovery_point: 'finished', response_code: 500, response_body: body }
    expect(await service.update(key, finished)).toMatchObject({ ...finished, locked_at: null })
    const late = { recovery_point: 'started', response_code: 200 }
    expect(await service.update(key, late)).toMatchObject(finished)
    await expect(service.update(fresh(), late)).rejects.toMatchObject({ type: 'not_found' })
  })

  test('what comes back is plain, the caller’s own, and may be written on', async () => {
    const key = fresh()
    const made = await start(key)
    made.response_body = { changed: true }
    made.response_code = 418
    expect(await service.retrieve(key)).toMatchObject({ response_body: null, response_code: null })
    expect(Object.getPrototypeOf(made)).toBe(Object.prototype)
  })

  describe('in a transaction of the route', () => {
    test('the claim is visible at its commit, and gone with its rollback', async () => {
      const key = fresh()
      const rolledBack = host.dataSource.transaction(async (tm) => {
        await start(key, service.withTransaction(tm))
        await expect(service.retrieve(key)).rejects.toMatchObject({ type: 'not_found' })
        throw new Error('route')
      })
      await expect(rolledBack).rejects.toThrow('route')
      const kept = await host.dataSource.transaction((tm) =>
        start(key, service.withTransaction(tm)),
      )
      expect((await service.retrieve(key)).id).toBe(kept.id)
    })

    test.each(['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'] as const)(
      'a stage in %s: the callback gets that very manager',
      async (isolation) => {
        const key = fresh()
        await host.dataSource.transaction((tm) => start(key, service.withTransaction(tm)))
        const stored = await host.dataSource.transaction(isolation, (tm) =>
          service.withTransaction(tm).workStage(key, async (manager) => {
            expect(manager).toBe(tm)
            await effect(manager, key)
            return { recovery_point: 'done' }
          }),
        )
        expect(stored.recovery_point).toBe('done')
        expect(await effects(key)).toHaveLength(1)
      },
    )

    test('a webhook: the whole request in savepoints of one transaction; undone, then delivered again', async () => {
      const key = fresh()
      const deliver = (fail: boolean) =>
        host.dataSource.transaction(async (outer) => {
          const plugin = service.withTransaction(outer)
          const path = '/stripe/hooks'
          const known = await plugin
            .retrieve({ request_path: path, idempotency_key: key })
            .catch(() => undefined)
          if (known === undefined) await plugin.create({ request_path: path, idempotency_key: key })
          for (const point of ['tax_lines_created', 'payment_authorized', undefined]) {
            await outer.transaction((inner) =>
              host
                .service()
                .withTransaction(inner)
                .workStage(key, async (manager) => {
                  await effect(manager, `${key}/${String(point)}`)
                  return point === undefined ? { response_code: 200 } : { recovery_point: point }
                }),
            )
          }
          if (fail) throw new Error('undone')
        })
      await expect(deliver(true)).rejects.toThrow('undone')
      await expect(service.retrieve(key)).rejects.toMatchObject({ type: 'not_found' })
      await deliver(false)
      expect(await service.retrieve(key)).toMatchObject({ recovery_point: 'finished' })
      expect(await effects(`${key}/payment_authorized`)).toHaveLength(1)
    })

    test('a stage that was undone after it had returned: the key is free at once', async () => {
      const key = fresh()
      await start(key)
      const undone = host.dataSource.transaction(async (tm) => {
        await service
          .withTransaction(tm)
          .workStage(key, () => Promise.resolve({ recovery_point: 'a' }))
        throw new Error('at commit')
      })
      await expect(undone).rejects.toThrow('at commit')
      const retry = await start(key, host.service())
      expect(retry.recovery_point).toBe('started')
    })

    test('a query runner that serves one transaction after another: a later rollback undoes nothing earlier', async () => {
      const [key, other] = [fresh(), fresh()]
      const runner = host.dataSource.createQueryRunner()
      const inside = service.withTransaction(runner.manager)
      await runner.startTransaction()
      await start(key, inside)
      await runner.commitTransaction()
      await runner.startTransaction()
      await start(other, inside)
      await runner.rollbackTransaction()
      await runner.release()
      await sleep(50)
      await expect(start(key, host.service())).rejects.toMatchObject(conflict)
      expect((await start(other, host.service())).recovery_point).toBe('started')
    })

    test('20 requests on a pool of ten, each holding a connection: none waits for a second one', async () => {
      const key = fresh()
      await start(key)
      const own = new Error('own')
      const stages = Array.from({ length: 20 }, () =>
        host.dataSource.transaction((tm) =>
          service.withTransaction(tm).workStage(key, async () => {
            await sleep(20)
            throw own
          }),
        ),
      )
      const answers = await Promise.allSettled(stages)
      expect(answers.every(({ status }) => status === 'rejected')).toBe(true)
    })
  })

  test('withTransaction(manager of no transaction): a stage opens one', async () => {
    const key = fresh()
    const root = service.withTransaction(host.dataSource.manager)
    await root.initializeRequest(key, 'POST', {}, '/')
    const failing = root.workStage(key, async (manager) => {
      expect(manager.queryRunner?.isTransactionActive).toBe(true)
      await effect(manager, key)
      throw new Error('undone')
    })
    await expect(failing).rejects.toThrow('undone')
    expect(await effects(key)).toEqual([])
    const unknown = {
      recovery_point: 'finished',
      response_code: 500,
      response_body: { message: 'Unknown' },
    }
    expect(await root.update(key, unknown)).toMatchObject(unknown)
  })

  test('a lease is renewed while the process hears of the request, and lapses after', async () => {
    const times = { lease: '300ms', idle: '600ms' } as const
    const shortLived = await openHost(lib)
    try {
      const key = fresh()
      const busy = shortLived.service(times)
      await busy.initializeRequest(key, 'POST', {}, '/')
      await sleep(450)
      const other = () => shortLived.service(times).initializeRequest(key, 'POST', {}, '/')
      await expect(other()).rejects.toMatchObject(conflict)
      await sleep(900)
      expect((await other()).recovery_point).toBe('started')
    } finally {
      await shortLived.close()
    }
  })

  test('a row of the original code, with its ten columns alone, is taken up', async () => {
    const key = fresh()
    await host.sql(
      `insert into ${host.table} (id, idempotency_key, request_method, request_params, request_path, recovery_point)
       values ($1, $2, 'POST', '{"id":"cart_1"}', $3, 'payment_authorized')`,
      [`ikey_old_${key}`, key, `/carts/${key}/complete`],
    )
    expect((await start(key)).recovery_point).toBe('payment_authorized')
    const stored = await service.workStage(key, () => Promise.resolve({ response_code: 200 }))
    expect(stored).toMatchObject({ id: `ikey_old_${key}`, recovery_point: 'finished' })
  })
})

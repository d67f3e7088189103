/**
 * Goal: BEGIN travels with a stage's first statement and COMMIT with its last, claims travel together, and nothing that
 * was true of them one by one is lost: a stage that is fenced keeps no row, whoever looks in between sees the order in
 * which things were said, and one that waits holds nobody up.
 */
import type { EntityManager } from 'typeorm'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { IdempotencyKeyService } from '../../src/medusa/index.ts'
import { type Host, openHost, TYPEORMS } from './host.ts'

const conflict = { type: 'conflict' }

interface Client {
  query(...call: unknown[]): unknown
}

describe.each(TYPEORMS)('%s', (_, lib) => {
  let host: Host
  let service: IdempotencyKeyService
  let keys = 0
  beforeAll(async () => {
    host = await openHost(lib)
    service = host.service()
  })
  afterAll(() => host.close())

  const start = async (from: IdempotencyKeyService = service): Promise<string> => {
    const key = `message-${String(++keys)}`
    await from.initializeRequest(key, 'POST', {}, '/')
    return key
  }
  const effect = (manager: EntityManager, step: string): Promise<unknown> =>
    manager.query(`insert into ${host.table}_effect values ($1)`, [step])
  const effects = async (step: string): Promise<number> =>
    (await host.sql(`select 1 from ${host.table}_effect where step = $1`, [step])).length
  const point = (key: string) =>
    host.sql(`select recovery_point from ${host.table} where idempotency_key = $1`, [key])

  describe('a stage', () => {
    test('is two messages around the work’s own', async () => {
      const one = await openHost(lib, 1)
      const runner = one.dataSource.createQueryRunner()
      const client = (await runner.connect()) as Client
      await runner.release()
      const key = await start(one.service())
      const sent = vi.spyOn(client, 'query')
      await one.service().workStage(key, async (manager) => {
        await manager.query('select 1')
        return { recovery_point: 'paid' }
      })
      expect(sent).toHaveBeenCalledTimes(3)
      sent.mockRestore()
      await one.close()
    })

    test('whose record was changed by its own work is fenced inside the database: no row stays', async () => {
      const key = await start()
      const stage = service.workStage(key, async (manager) => {
        await effect(manager, key)
        await manager.query(
          `update ${host.table} set attempt = attempt + 1 where idempotency_key = $1`,
          [key],
        )
        return { response_code: 200, response_body: {} }
      })
      await expect(stage).rejects.toMatchObject(conflict)
      expect(await effects(key)).toBe(0)
      expect(await point(key)).toEqual([{ recovery_point: 'started' }])
    })

    test('whose work has finished the key itself is fenced too', async () => {
      const key = await start()
      const stage = service.workStage(key, async (manager) => {
        await effect(manager, key)
        await service.withTransaction(manager).update(key, { recovery_point: 'finished' })
        return { recovery_point: 'paid' }
      })
      await expect(stage).rejects.toMatchObject(conflict)
      expect(await effects(key)).toBe(0)
    })

    test('whose work has deleted the key is a conflict', async () => {
      const key = await start()
      const stage = service.workStage(key, async (manager) => {
        await manager.query(`delete from ${host.table} where idempotency_key = $1`, [key])
        return { recovery_point: 'paid' }
      })
      await expect(stage).rejects.toMatchObject(conflict)
    })

    test('inside another key’s stage: both in one transaction, each with its answer', async () => {
      const [outer, inner] = [await start(), await start()]
      const done = await service.workStage(outer, async (manager) => {
        const within = service.withTransaction(manager)
        const paid = await within.workStage(inner, () =>
          Promise.resolve({ recovery_point: 'paid' }),
        )
        const finished = await within.workStage(inner, async (nested) => {
          await effect(nested, inner)
          return { response_code: 200, response_body: { after: paid.recovery_point } }
        })
        return { response_code: 201, response_body: { inner: finished.response_body } }
      })
      expect(done.response_body).toEqual({ inner: { after: 'paid' } })
      expect(await effects(inner)).toBe(1)
    })

    test('that swallowed a failed statement is not committed', async () => {
      const key = await start()
      const stage = service.workStage(key, async (manager) => {
        await effect(manager, key)
        await manager.query('select * from nowhere').catch(() => undefined)
        return { recovery_point: 'paid' }
      })
      await expect(stage).rejects.toMatchObject({ code: '25P02' })
      expect(await effects(key)).toBe(0)
      const again = await service.workStage(key, () => Promise.resolve({ response_code: 200 }))
      expect(again.response_code).toBe(200)
    })

    test('whose COMMIT fails to serialize is done again from its beginning, and once', async () => {
      const { table } = host
      await host.sql(`create table ${table}_commit (n int)`)
      await host.sql(`create sequence ${table}_tries`)
      await host.sql(`create function ${table}_refuse() returns trigger language plpgsql as $$
        begin
          if nextval('${table}_tries') < 3 then
            raise exception 'not yet' using errcode = '40001';
          end if;
          return null;
        end $$`)
      await host.sql(`create constraint trigger refuse after insert on ${table}_commit
        deferrable initially deferred for each row execute function ${table}_refuse()`)
      const key = await start()
      let runs = 0
      const done = await service.workStage(key, async (manager) => {
        runs++
        await manager.query(`insert into ${table}_commit values (1)`)
        return { response_code: 201, response_body: { runs } }
      })
      expect(done).toMatchObject({ response_code: 201, response_body: { runs: 3 } })
      expect(await host.sql(`select count(*)::int as n from ${table}_commit`)).toEqual([{ n: 1 }])
      await host.sql(`drop table ${table}_commit`)
      await host.sql(`drop function ${table}_refuse`)
      await host.sql(`drop sequence ${table}_tries`)
    })

    test('that a subclass wraps: what it sends behind the stage is in the same transaction, and in order', async () => {
      const seen: unknown[] = []
      class Wrapping extends IdempotencyKeyService {
        override async workStage(
          ...[key, callback]: Parameters<IdempotencyKeyService['workStage']>
        ): ReturnType<IdempotencyKeyService['workStage']> {
          return await super.workStage(key, callback)
        }
        protected override async atomicPhase_<TResult>(
          work: (manager: EntityManager) => Promise<TResult>,
        ): Promise<TResult> {
          return await super.atomicPhase_(async (manager) => {
            const result = await work(manager)
            seen.push(
              await manager.query(
                `select recovery_point from ${host.table} where idempotency_key = $1`,
                [key],
              ),
            )
            await effect(manager, `${key} behind`)
            return result
          })
        }
      }
      const key = await start()
      const wrapping = new Wrapping({
        manager: host.dataSource.manager,
        idempotencyKeyRepository: host.repository,
      })
      await wrapping.workStage(key, () => Promise.resolve({ recovery_point: 'paid' }))
      expect(seen).toEqual([[{ recovery_point: 'paid' }]])
      expect(await effects(`${key} behind`)).toBe(1)
    })

    test('without prepared statements, and behind a pooler that has lost them', async () => {
      const plain = host.service({ prepare: false })
      const key = await start(plain)
      await plain.workStage(key, () => Promise.resolve({ recovery_point: 'paid' }))
      const one = await openHost(lib, 1)
      const pooled = one.service()
      const finish = async (): Promise<number | null> => {
        const { idempotency_key } = await pooled.initializeRequest('', 'POST', {}, '/')
        const work = () => Promise.resolve({ response_code: 200, response_body: {} })
        return (await pooled.workStage(idempotency_key, work)).response_code
      }
      expect(await finish()).toBe(200)
      await one.sql('deallocate all')
      expect(await finish()).toBe(200)
      const { idempotency_key } = await pooled.initializeRequest('', 'POST', {}, '/')
      await one.sql('deallocate all')
      const work = () => Promise.resolve({ recovery_point: 'paid' })
      expect(await pooled.workStage(idempotency_key, work)).toMatchObject({
        recovery_point: 'paid',
      })
      await one.close()
    })
  })

  describe('claims at once, outside of a transaction', () => {
    test('share statements, and each gets its own answer', async () => {
      const { master } = host.dataSource.driver as unknown as { master: Client }
      const sent = vi.spyOn(master, 'query')
      const asked = Array.from({ length: 50 }, (_each, at) => `together-${String(at)}`)
      const made = await Promise.all(
        asked.map((key) => service.initializeRequest(key, 'POST', { key }, `/${key}`)),
      )
      sent.mockRestore()
      expect(
        made.map((key) => [key.idempotency_key, key.request_params, key.request_path]),
      ).toEqual(asked.map((key) => [key, { key }, `/${key}`]))
    })

    test('of one key: one begins, the others are conflicts', async () => {
      const key = `twin-${String(++keys)}`
      const ends = await Promise.allSettled(
        Array.from({ length: 20 }, () => service.initializeRequest(key, 'POST', {}, '/')),
      )
      expect(ends.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
      expect(
        (
          await Promise.allSettled(
            Array.from({ length: 5 }, () => service.create({ idempotency_key: key })),
          )
        ).filter(({ status }) => status === 'fulfilled'),
      ).toHaveLength(0)
    })

    test('two creates of one key: one', async () => {
      const key = `twin-${String(++keys)}`
      const ends = await Promise.allSettled(
        Array.from({ length: 5 }, () => service.create({ idempotency_key: key })),
      )
      expect(ends.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    })

    test('one that the database refuses fails alone', async () => {
      const [good, bad, other] = await Promise.allSettled([
        service.initializeRequest(`poison-${String(++keys)}`, 'POST', {}, '/'),
        service.initializeRequest(`poison-${String(++keys)}`, 'POST', { id: '\u0000' }, '/'),
        service.initializeRequest(`poison-${String(++keys)}`, 'POST', {}, '/'),
      ])
      expect([good.status, bad.status, other.status]).toEqual([
        'fulfilled',
        'rejected',
        'fulfilled',
      ])
    })

    test('one that waits for a route’s open transaction holds up nobody', async () => {
      const held = `held-${String(++keys)}`
      let free = (): void => undefined
      const holding = new Promise<void>((resolve) => (free = resolve))
      let isInserted = (): void => undefined
      const inserted = new Promise<void>((resolve) => (isInserted = resolve))
      const route = host.dataSource.transaction(async (manager) => {
        await service.withTransaction(manager).initializeRequest(held, 'POST', {}, '/')
        isInserted()
        await holding
      })
      await inserted
      let isWaiting = true
      const waiting = service
        .initializeRequest(held, 'POST', {}, '/')
        .finally(() => (isWaiting = false))
      waiting.catch(() => undefined)
      await Promise.all(Array.from({ length: 20 }, () => start()))
      await Promise.all(Array.from({ length: 20 }, () => start()))
      expect(isWaiting).toBe(true)
      free()
      await route
      await expect(waiting).rejects.toMatchObject(conflict)
    })
  })
})

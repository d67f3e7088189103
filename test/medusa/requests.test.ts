/**
 * Goal: many requests of one key through a loop of recovery points have one effect a stage; helpers and request
 * contexts do what routes expect of them.
 */
import { AsyncResource } from 'node:async_hooks'
import { EventEmitter } from 'node:events'
import type { EntityManager } from 'typeorm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type IsolationLevel,
  type IdempotencyKey,
  type IdempotencyKeyService,
  idempotencyRequests,
  initializeIdempotencyRequest,
  runIdempotencyStep,
} from '../../src/medusa/index.ts'
import { type Host, openHost, TYPEORMS } from './host.ts'

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Of the service; or of the level that the route has chosen, which Medusa’s handler takes for one too. */
const isConflict = (error: unknown): boolean =>
  (error as { type?: string }).type === 'conflict' || (error as { code?: string }).code === '40001'

describe.each(TYPEORMS)('%s', (_, lib) => {
  let host: Host
  let keys = 0
  const fresh = (): string => `key-${String(++keys)}`
  beforeAll(async () => {
    host = await openHost(lib)
  })
  afterAll(() => host.close())

  /** The route of the reference's ecosystem: a loop with a branch for each recovery point. */
  async function route(
    service: IdempotencyKeyService,
    header: string,
    isolation: IsolationLevel = 'READ COMMITTED',
  ): Promise<IdempotencyKey> {
    const manager = host.dataSource.manager
    const note = (tm: EntityManager, step: string) =>
      tm.query(`insert into ${host.table}_effect values ($1)`, [`${header}/${step}`])
    let key = await manager.transaction((tm) =>
      service.withTransaction(tm).initializeRequest(header, 'POST', { id: 'cart' }, '/carts/cart'),
    )
    const stage = async (step: string, next: string | undefined, ms: number): Promise<void> => {
      key = await manager.transaction(isolation, (tm) =>
        service.withTransaction(tm).workStage(key.idempotency_key, async (stageManager) => {
          await note(stageManager, step)
          await sleep(ms)
          return next === undefined
            ? { response_code: 200, response_body: { order: header } }
            : { recovery_point: next }
        }),
      )
    }
    while (key.recovery_point !== 'finished') {
      switch (key.recovery_point) {
        case 'started':
          await stage('cart', 'payment', 0)
          break
        case 'payment':
          await stage('payment', 'order', 30)
          break
        case 'order':
          await stage('order', undefined, 0)
          break
        default:
          key = await manager.transaction((tm) =>
            service.withTransaction(tm).update(key.idempotency_key, {
              recovery_point: 'finished',
              response_code: 500,
              response_body: { message: 'Unknown recovery point' },
            }),
          )
      }
    }
    return key
  }

  test.each(['READ COMMITTED', 'SERIALIZABLE'] as const)(
    '20 requests at once of one key, three stages in %s: one effect a stage; each is answered alike, or with a conflict',
    async (isolation) => {
      const header = fresh()
      const answers = await Promise.allSettled(
        Array.from({ length: 20 }, () => route(host.service(), header, isolation)),
      )
      const ok = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
      expect(ok.length).toBeGreaterThan(0)
      for (const key of ok) expect(JSON.stringify(key.response_body)).toBe(`{"order":"${header}"}`)
      for (const answer of answers) {
        if (answer.status === 'rejected') expect(isConflict(answer.reason)).toBe(true)
      }
      const steps = await host.sql<{ step: string }>(
        `select step from ${host.table}_effect where step like $1 order by 1`,
        [`${header}/%`],
      )
      expect(steps.map(({ step }) => step.split('/')[1])).toEqual(['cart', 'order', 'payment'])
      expect(await route(host.service(), header)).toMatchObject({ response_code: 200 })
    },
  )

  test('50 independent requests at once: none fails', async () => {
    const headers = Array.from({ length: 50 }, fresh)
    const service = host.service()
    const answers = await Promise.all(headers.map((header) => route(service, header)))
    expect(answers.every(({ response_code }) => response_code === 200)).toBe(true)
  })

  test('an unknown recovery point is answered with 500, and stays answered', async () => {
    const header = fresh()
    const service = host.service()
    await service.initializeRequest(header, 'POST', { id: 'cart' }, '/carts/cart')
    await service.workStage(header, () => Promise.resolve({ recovery_point: 'of_another_version' }))
    await host.sql(
      `update ${host.table} set locked_until = null, owner = null where idempotency_key = $1`,
      [header],
    )
    expect(await route(host.service(), header)).toMatchObject({
      response_code: 500,
      response_body: { message: 'Unknown recovery point' },
    })
  })

  const request = (key: string | undefined, service: IdempotencyKeyService) => ({
    method: 'POST',
    path: '/carts',
    params: { id: 'c' },
    scope: { resolve: () => service },
    get: (name: string) => (name === 'Idempotency-Key' ? key : undefined),
  })
  const response = () => {
    const sent: unknown[] = []
    const setHeader = (name: string, value: string) => sent.push([name, value])
    const status = (code: number) => ({ send: (body: string) => sent.push([code, body]) })
    return { sent, setHeader, status }
  }

  test('initializeIdempotencyRequest: the key goes back in a header that browsers may read; a conflict is a 409', async () => {
    const service = host.service()
    const res = response()
    const key = await initializeIdempotencyRequest(request(undefined, service), res)
    expect(res.sent).toEqual([
      ['Access-Control-Expose-Headers', 'Idempotency-Key'],
      ['Idempotency-Key', key.idempotency_key],
    ])
    const second = response()
    const again = initializeIdempotencyRequest(request(key.idempotency_key, service), second)
    await expect(again).rejects.toMatchObject({ type: 'conflict' })
    expect(second.sent).toEqual([[409, 'Failed to create idempotency key']])
  })

  test('runIdempotencyStep: a transaction of its own, and the new state on the key object', async () => {
    const service = host.service()
    const idempotencyKey = await service.initializeRequest(fresh(), 'POST', {}, '/')
    const options = {
      manager: host.dataSource.manager,
      idempotencyKey,
      container: { resolve: () => service },
    }
    await runIdempotencyStep(() => Promise.resolve({ recovery_point: 'mapped' }), options)
    expect(idempotencyKey.recovery_point).toBe('mapped')
    const finish = () => Promise.resolve({ response_code: 201, response_body: { ok: true } })
    await runIdempotencyStep(finish, { ...options, isolationLevel: 'SERIALIZABLE' })
    expect(idempotencyKey).toMatchObject({
      recovery_point: 'finished',
      response_code: 201,
      response_body: { ok: true },
    })
  })

  /** A response, as far as the middleware looks at it. */
  const ending = () => Object.assign(new EventEmitter(), { writableEnded: true })

  /** As a server runs middleware: each request in an asynchronous context of its own. */
  const within = (
    res: ReturnType<typeof ending>,
    handler: () => Promise<unknown>,
  ): Promise<unknown> =>
    new AsyncResource('request').runInAsyncScope(
      () =>
        new Promise((resolve, reject) => {
          idempotencyRequests({}, res, () => void handler().then(resolve, reject))
        }),
    )

  test('with idempotencyRequests: a request that was taken over in its own process cannot run a stage', async () => {
    const header = fresh()
    const service = host.service()
    const start = () => service.initializeRequest(header, 'POST', {}, '/')
    const stage = (point: string) =>
      service.workStage(header, () => Promise.resolve({ recovery_point: point }))
    await within(ending(), async () => {
      await start()
      await host.sql(`update ${host.table} set locked_until = now() where idempotency_key = $1`, [
        header,
      ])
      await within(ending(), async () => {
        await start()
        await stage('second')
      })
      await expect(stage('first')).rejects.toMatchObject({ code: 'lease_lost' })
    })
    expect((await service.retrieve(header)).recovery_point).toBe('second')
  })

  test('with idempotencyRequests: a client that hangs up does not end its request', async () => {
    const header = fresh()
    const service = host.service()
    const start = () => service.initializeRequest(header, 'POST', {}, '/')
    const res = ending()
    await within(res, start)
    await expect(within(ending(), start)).rejects.toMatchObject({ type: 'conflict' })
    // A client that hangs up: the route has not answered yet, and goes on.
    res.writableEnded = false
    res.emit('close')
    await sleep(50)
    await expect(within(ending(), start)).rejects.toMatchObject({ type: 'conflict' })
  })

  test('with idempotencyRequests: a route that failed outside of a stage frees its key when its response ends', async () => {
    const header = fresh()
    const service = host.service()
    const start = () => service.initializeRequest(header, 'POST', {}, '/')
    const res = ending()
    await within(res, start)
    res.emit('close')
    expect(await within(ending(), start)).toMatchObject({ recovery_point: 'started' })
  })
})

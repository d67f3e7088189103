/**
 * Goal: no stage is committed twice and no response changes, in whatever order several requests of one key come, fail,
 * are undone, or outlive their leases. Method: random schedules of the service's calls against what the rows must say.
 */
import { AsyncResource } from 'node:async_hooks'
import { EventEmitter } from 'node:events'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type IdempotencyKey,
  type IdempotencyKeyService,
  idempotencyRequests,
} from '../../src/medusa/index.ts'
import { type Host, openHost } from './host.ts'

const NEXT: Readonly<Record<string, string>> = {
  started: 'cart',
  cart: 'payment',
  payment: 'order',
}
const BEFORE: Readonly<Record<string, readonly string[]>> = {
  started: [],
  cart: ['started'],
  payment: ['cart', 'started'],
  order: ['cart', 'payment', 'started'],
  finished: ['cart', 'order', 'payment', 'started'],
}

/** One call of one request. `during`: another request's call, made while this one's callback runs. */
interface Call {
  readonly who: number
  readonly what: 'begin' | 'stage' | 'fail' | 'undone' | 'lapse' | 'end' | 'update'
  readonly how: 'alone' | 'READ COMMITTED' | 'SERIALIZABLE'
  readonly during: boolean
}

const REQUESTS = 3
const call: fc.Arbitrary<Call> = fc.record({
  who: fc.integer({ min: 0, max: REQUESTS - 1 }),
  what: fc.oneof(
    { weight: 9, arbitrary: fc.constant('stage' as const) },
    { weight: 3, arbitrary: fc.constant('begin' as const) },
    {
      weight: 2,
      arbitrary: fc.constantFrom('fail', 'undone', 'undone', 'lapse', 'lapse', 'end', 'update'),
    },
  ),
  how: fc.constantFrom('alone', 'READ COMMITTED', 'SERIALIZABLE'),
  during: fc.boolean(),
})

/** What happened: a test in which nothing did proves nothing. */
const seen = { stages: 0, finished: 0, conflicts: 0, lost: 0, undone: 0 }

let host: Host
let keys = 0
beforeAll(async () => {
  host = await openHost()
})
afterAll(() => host.close())

/** A client's request: what it last saw of the key, in a context of its own. */
class Request {
  seen: IdempotencyKey | undefined
  #scope!: AsyncResource
  #response = new EventEmitter()

  constructor() {
    this.renew()
  }

  renew(): void {
    this.seen = undefined
    this.#response = new EventEmitter()
    idempotencyRequests({}, this.#response, () => (this.#scope = new AsyncResource('request')))
  }

  end(): void {
    this.#response.emit('close')
    this.renew()
  }

  run<R>(work: () => Promise<R>): Promise<R> {
    return this.#scope.runInAsyncScope(work)
  }
}

async function play(calls: readonly Call[]): Promise<void> {
  const header = `key-${String(++keys)}`
  const service = host.service()
  const requests = Array.from({ length: REQUESTS }, () => new Request())
  const queue = [...calls]
  const responses = new Set<string>()

  const inTransaction = (
    { how }: Call,
    work: (of: IdempotencyKeyService) => Promise<IdempotencyKey>,
  ): Promise<IdempotencyKey> =>
    how === 'alone'
      ? work(service)
      : host.dataSource.transaction(how, (tm) => work(service.withTransaction(tm)))

  const stage = (it: Call, request: Request, fails: boolean): Promise<IdempotencyKey> => {
    const point = request.seen?.recovery_point ?? 'started'
    return inTransaction(it, async (of) => {
      const stored = await of.workStage(header, async (manager) => {
        await manager.query(`insert into ${host.table}_effect values ($1)`, [`${header}/${point}`])
        // Meanwhile another request: this one's row is locked.
        const other = it.during ? queue.shift() : undefined
        if (other !== undefined && other.who !== it.who) await one({ ...other, during: false })
        if (fails) throw new Error('the callback')
        const next = NEXT[point]
        return next === undefined
          ? { response_code: 200, response_body: { by: it.who, at: queue.length } }
          : { recovery_point: next }
      })
      if (it.what === 'undone' && it.how !== 'alone') throw new Error('the route')
      return stored
    })
  }

  const doing = async (it: Call, request: Request): Promise<IdempotencyKey | undefined> => {
    switch (it.what) {
      case 'begin':
        return await inTransaction(it, (of) => of.initializeRequest(header, 'POST', {}, '/'))
      case 'stage':
      case 'undone':
        return request.seen && (await stage(it, request, false))
      case 'fail':
        return request.seen && (await stage(it, request, true))
      case 'update':
        return request.seen && (await service.update(header, { response_code: 202 }))
      case 'end':
        request.end()
        return undefined
      case 'lapse':
        await host.sql(
          `update ${host.table} set locked_until = now() - interval '1 s'
            where idempotency_key = $1 and locked_until is not null
              and id in (select id from ${host.table} where idempotency_key = $1 for update skip locked)`,
          [header],
        )
        return undefined
    }
  }

  const one = async (it: Call): Promise<void> => {
    const request = requests[it.who] as Request
    if (it.what === 'begin') request.renew()
    await request.run(async () => {
      const stored = await doing(it, request).catch((error: unknown) => {
        const { type, code, message } = error as { type?: string; code?: string; message: string }
        const expected = ['the callback', 'the route'].includes(message)
        if (code === 'lease_lost') seen.lost++
        else if (type === 'conflict') seen.conflicts++
        else if (message === 'the route') seen.undone++
        if (!expected && type !== 'conflict' && code !== '40001') throw error
        return undefined
      })
      if (stored === undefined) return
      request.seen = stored
      if (stored.recovery_point === 'finished') responses.add(JSON.stringify(stored.response_body))
    })
  }

  for (let it = queue.shift(); it !== undefined; it = queue.shift()) await one(it)

  const [row] = await host.sql<IdempotencyKey>(
    `select * from ${host.table} where idempotency_key = $1`,
    [header],
  )
  const effects = await host.sql<{ step: string }>(
    `select step from ${host.table}_effect where step like $1 order by step`,
    [`${header}/%`],
  )
  const steps = effects.map(({ step }) => step.slice(header.length + 1))
  seen.stages += steps.length
  if (row?.recovery_point === 'finished') seen.finished++
  expect(steps).toEqual(BEFORE[row?.recovery_point ?? 'started'])
  expect(responses.size).toBeLessThanOrEqual(1)
  if (row?.recovery_point === 'finished' && responses.size === 1) {
    expect([...responses]).toEqual([JSON.stringify(row.response_body)])
  }
}

test('random schedules of three requests', { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(call, { minLength: 8, maxLength: 40 }), (calls) =>
      play([{ who: 0, what: 'begin', how: 'alone', during: false }, ...calls]),
    ),
    { numRuns: 400 },
  )
  for (const [what, times] of Object.entries(seen)) expect([what, times > 2]).toEqual([what, true])
})

/**
 * Conformance 42–44 on MariaDB, through either library: databases that abort, connections that break, stores that are
 * away. Imported behind `runOn`.
 */
import { randomUUID } from 'node:crypto'
import mysql2 from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { HandlerResult } from '../../src/index.ts'
import { eventually } from '../support/api-process.ts'
import {
  type App,
  type AppRun,
  type Effect,
  effect,
  rideHandler,
  setup,
  type Tx,
} from '../support/app.ts'
import type { Reply } from '../support/http-client.ts'
import { appDatabase } from '../support/app-database.ts'
import { engineUrl } from '../support/engine.ts'
import { type MariaDb, startMariaDb } from '../support/mariadb.ts'
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'
import { MYSQL } from '../contract/words.ts'

const body = { to: 'Oslo' }
const FRAMEWORKS = ['express 5', 'fetch'] as const
const where = ['stage', 'finish'] as const
const cuts = ['before', 'after'] as const
/** Of two transactions that wait for each other InnoDB ends the one that has changed fewer rows. */
const HEAVY = 50

const rival = mysql2.createPool({ uri: engineUrl(), connectionLimit: 4 })
beforeAll(async () => {
  await rival.query(
    'create table if not exists balance (id varchar(64) primary key, amount int not null)',
  )
})
afterAll(async () => {
  await rival.end()
})

async function newBalance(): Promise<string> {
  const id = randomUUID()
  await rival.execute('insert into balance values (?, 0)', [id])
  return id
}

async function amountOf(id: string): Promise<number> {
  const [rows] = await rival.execute('select amount from balance where id = ?', [id])
  return Number((rows as { amount: number }[])[0]?.amount)
}

const add = (tx: Tx, id: string) =>
  tx.query('update balance set amount = amount + 1 where id = $1', [id])
const addAs = (on: mysql2.PoolConnection, id: string) =>
  on.execute('update balance set amount = amount + 1 where id = ?', [id])

describe.each(FRAMEWORKS)('%s', (framework) => {
  /** The stage named `in` fails in its first tries. */
  async function failing(
    at: 'stage' | 'finish',
    fail: (tx: Tx, tries: number) => Promise<unknown>,
  ) {
    let tries = 0
    return await setup({
      framework,
      handler: async (_, run) => {
        await run.stage('ride_created', async (tx) => {
          await effect(tx, run, 'ride_created')
          if (at === 'stage') await fail(tx, ++tries)
        })
        return await run.finish(async (tx) => {
          await effect(tx, run, 'receipt')
          if (at === 'finish') await fail(tx, ++tries)
          return { status: 201, body: { tries } }
        })
      },
    })
  }

  describe('a database that aborts', () => {
    test.each(['1213', '1205'].flatMap((code, nth) => where.map((at) => ({ code, nth, at }))))(
      '42 · $code raised inside $at, twice → tried again inside; the caller sees the success',
      async ({ nth, at }) => {
        const app = await failing(at, async (tx, tries) => {
          if (tries <= 2) await MYSQL.faults.abort(tx, nth)
        })
        const first = await app.send({ key: 'k', body })
        expect([first.status, first.json()]).toEqual([201, { tries: 3 }])
        expect(app.count()).toBe(1)
        expect(app.events.filter(({ type }) => type === 'aborted')).toHaveLength(2)
        expect((await app.effects('k')).map(({ stage }) => stage)).toEqual([
          'ride_created',
          'receipt',
        ])
        expect(await app.send({ key: 'k', body })).toReplay(first)
      },
    )

    test('42 · raised every time → 503, nothing committed; a later retry executes', async () => {
      let raising = true
      const app = await failing('stage', async (tx) => {
        if (raising) await MYSQL.faults.abort(tx, 0)
      })
      const refused = await app.send({ key: 'k', body })
      expect(refused).toMatchProblem({ status: 503, code: 'store_unavailable' })
      expect(refused.headers['retry-after']).toMatch(/^\d+$/)
      expect(await app.effects('k')).toEqual([])
      raising = false
      expect((await app.send({ key: 'k', body })).status).toBe(201)
      expect(await app.effects('k')).toHaveLength(2)
    })

    test.each(where)('42 · a real deadlock (1213) inside %s → tried again', async (at) => {
      const [a, b] = [await newBalance(), await newBalance()]
      const other = await rival.getConnection()
      await other.beginTransaction()
      for (let nth = 0; nth < HEAVY; nth++)
        await other.execute('insert into balance values (?, 0)', [randomUUID()])
      let rivalDone: Promise<unknown> = Promise.resolve()
      const app = await failing(at, async (tx, tries) => {
        await add(tx, a)
        if (tries === 1) {
          await addAs(other, b)
          rivalDone = addAs(other, a).then(() => other.commit())
        }
        await add(tx, b)
      })
      const first = await app.send({ key: 'k', body })
      await rivalDone
      other.release()
      expect(first.status).toBe(201)
      expect(app.events.filter(({ type }) => type === 'aborted').length).toBeGreaterThanOrEqual(1)
      expect([await amountOf(a), await amountOf(b)]).toEqual([2, 2])
      expect(await app.effects('k')).toHaveLength(2)
    })

    test.each(where)('42 · a real lock timeout (1205) inside %s → tried again', async (at) => {
      const id = await newBalance()
      const other = await rival.getConnection()
      await other.beginTransaction()
      await addAs(other, id)
      const app = await failing(at, async (tx, tries) => {
        if (tries === 2) await other.commit()
        // The statement fails alone, and what came before it is still there: all of it must go.
        await tx.query('select amount from balance where id = $1 for update nowait', [id])
        await add(tx, id)
      })
      const first = await app.send({ key: 'k', body })
      other.release()
      expect([first.status, first.json()]).toEqual([201, { tries: 2 }])
      expect(await amountOf(id)).toBe(2)
      expect(await app.effects('k')).toHaveLength(2)
    })

    test('42 · an error that is no abort is not tried again', async () => {
      const app = await failing('stage', async (tx, tries) => {
        if (tries === 1) await MYSQL.faults.refuse(tx)
      })
      expect((await app.send({ key: 'k', body })).status).toBe(500)
      expect(await app.effects('k')).toEqual([])
      expect(app.events.filter(({ type }) => type === 'aborted')).toEqual([])
      expect((await app.send({ key: 'k', body })).status).toBe(201)
    })
  })

  describe('a connection that breaks', () => {
    let proxy: TcpProxy
    beforeAll(async () => {
      proxy = await startTcpProxy(Number(new URL(engineUrl()).port))
    })
    afterAll(async () => {
      await proxy.close()
    })

    const through = () => {
      const url = new URL(engineUrl())
      url.port = String(proxy.port)
      return { at: url.href }
    }

    /** Breaks the connection at the commit of a stage or of finish, in the first try. */
    function breaking(at: 'ride_created' | 'receipt', cut: (typeof cuts)[number]) {
      let sprung: Promise<void> | undefined
      const arm = async (tx: Tx, run: AppRun, step: string): Promise<void> => {
        await effect(tx, run, step)
        if (step === at) sprung ??= proxy.cutNext(cut, 'commit')
      }
      const handler = async (_: unknown, run: AppRun): Promise<HandlerResult> => {
        const { id } = await run.stage('ride_created', async (tx) => {
          await arm(tx, run, 'ride_created')
          return { id: randomUUID() }
        })
        return await run.finish(async (tx) => {
          await arm(tx, run, 'receipt')
          return { status: 201, body: { id } }
        })
      }
      return { handler, sprung: () => sprung }
    }

    test.each(
      (['ride_created', 'receipt'] as const).flatMap((at) => cuts.map((cut) => ({ at, cut }))),
    )(
      '43 · cut at the COMMIT of $at, $cut it landed → the record is re-read; committed once',
      async ({ at, cut }) => {
        const { handler, sprung } = breaking(at, cut)
        const app = await setup({ framework, ...through(), handler })
        const first = await app.send({ key: 'k', body })
        await sprung()
        expect(first.status).toBe(201)
        const step = at === 'receipt' ? 'finished' : at
        expect(await app.seen('commit_unknown')).toMatchObject({ step })
        expect(await app.seen('commit_resolved')).toMatchObject({ step, landed: cut === 'after' })
        expect((await app.effects('k')).map(({ stage, attempt }) => [stage, attempt])).toEqual([
          ['ride_created', 1],
          ['receipt', 1],
        ])
        expect(app.count()).toBe(1)
        expect(await app.send({ key: 'k', body })).toReplay(first)
      },
    )

    test.each(cuts)(
      '43 · cut %s the finish of a handler without stages landed → stored once, replayed',
      async (cut) => {
        const id = randomUUID()
        const app = await setup({
          framework,
          ...through(),
          handler: async () => {
            void proxy.cutNext(cut, id)
            return { status: 201, body: { id } }
          },
        })
        const first = await app.send({ key: 'k', body })
        expect(first.status).toBe(201)
        expect(app.count()).toBe(1)
        expect(await app.send({ key: 'k', body })).toReplay(first)
        expect(await app.record('k')).toMatchObject({ state: 'finished', attempt: 1 })
      },
    )

    test.each(cuts)(
      '43 · cut %s a claim landed → it recognises itself: one attempt, no 409 against itself',
      async (cut) => {
        const app = await setup({ framework, ...through(), handler: rideHandler })
        const key = randomUUID()
        const sprung = proxy.cutNext(cut, key)
        const first = await app.send({ key, body })
        await sprung
        expect(first.status).toBe(201)
        expect(await app.record(key)).toMatchObject({ state: 'finished', attempt: 1 })
        expect(await app.effects(key)).toHaveLength(2)
        expect(await app.send({ key, body })).toReplay(first)
      },
    )

    test.each(cuts)(
      '43 · cut %s the record of a call landed → called once, recorded once',
      async (cut) => {
        const calls: string[] = []
        const app = await setup({
          framework,
          ...through(),
          handler: async (_, run) => {
            await run.call('charged', ({ idempotencyKey }) => {
              calls.push(idempotencyKey)
              void proxy.cutNext(cut, 'charged')
              return { charge: 1 }
            })
            return { status: 201 }
          },
        })
        expect((await app.send({ key: 'k', body })).status).toBe(201)
        expect(calls).toHaveLength(1)
      },
    )

    test('43 · cut inside a stage, before COMMIT → nothing was committed, tried again', async () => {
      let tries = 0
      const app = await setup({
        framework,
        ...through(),
        handler: async (_, run) => {
          await run.stage('one', async (tx) => {
            await effect(tx, run, 'one')
            if (++tries === 1) proxy.cutAll()
            await tx.query('select 1')
          })
          return { status: 201 }
        },
      })
      expect((await app.send({ key: 'k', body })).status).toBe(201)
      expect(tries).toBe(2)
      expect(await app.effects('k')).toHaveLength(1)
    })

    /** Goal: nobody waits for ever. Method: the connection stays open, and nothing comes through it any more. */
    test('44 · a database that neither answers nor refuses → 503 + Retry-After, handler not run; then it comes back', async () => {
      const app = await setup({
        framework,
        ...through(),
        handler: rideHandler,
        options: { inProgress: { wait: '10s' } },
        idempotencyOptions: { storeTimeout: '1s', lease: '1s' },
      })
      expect((await app.send({ key: 'before', body })).status).toBe(201)
      proxy.hold(true)
      const refused = await app.send({ key: 'k', body })
      expect(refused).toMatchProblem({ status: 503, code: 'store_unavailable' })
      expect(refused.headers['retry-after']).toMatch(/^\d+$/)
      expect(app.count()).toBe(1)
      proxy.hold(false)
      proxy.cutAll()
      const first = await app.send({ key: 'k', body })
      expect(first.status).toBe(201)
      expect(await app.send({ key: 'k', body })).toReplay(first)
    })
  })

  describe('a store that is away', () => {
    let server: MariaDb
    beforeAll(async () => {
      server = await startMariaDb()
      const database = appDatabase('away', { at: server.url })
      await database.store('idempotency_key').migrate()
      await database.query(database.effects ?? '')
      await database.end()
    })
    afterAll(async () => {
      await server.remove()
    })

    const away = (more: Partial<Parameters<typeof setup>[0]>) =>
      setup({
        framework,
        at: server.url,
        idempotencyOptions: { storeTimeout: '500ms', lease: '300ms' },
        options: { inProgress: { wait: '20s' } },
        ...more,
      })

    /** A pool may need a moment to know that the server is back: a client that is told 503 comes again. */
    async function settled(app: App): Promise<Reply> {
      let reply: Reply | undefined
      await eventually('the store to be there', async () => {
        reply = await app.send({ key: 'k', body })
        return reply.status !== 503
      })
      return reply as Reply
    }

    async function effectsOf(app: App): Promise<readonly Effect[]> {
      let effects: readonly Effect[] | undefined
      await eventually('the database to be there', async () => {
        effects = await app.effects('k').catch(() => undefined)
        return effects !== undefined
      })
      return effects ?? []
    }

    test('44 · down at the claim → 503 + Retry-After, handler not run; afterwards it executes', async () => {
      const app = await away({ handler: rideHandler })
      await server.stop()
      for (let times = 0; times < 2; times++) {
        const refused = await app.send({ key: 'k', body })
        expect(refused).toMatchProblem({ status: 503, code: 'store_unavailable' })
        expect(refused.headers['retry-after']).toMatch(/^[1-9]\d*$/)
      }
      expect(app.count()).toBe(0)
      await server.start()
      const first = await settled(app)
      expect(first.status).toBe(201)
      expect(await app.send({ key: 'k', body })).toReplay(first)
    })

    test.each(['SIGTERM', 'SIGKILL'] as const)(
      '44 · down (%s) at finish inside the transaction → 503, the effect rolls back too; the retry resumes',
      async (how) => {
        const app = await away({
          handler: async ({ count }, run) => {
            await run.stage('ride_created', async (tx) => effect(tx, run, 'ride_created'))
            return await run.finish(async (tx) => {
              await effect(tx, run, 'receipt')
              if (count === 1) await server.stop(how)
              return { status: 201, body: { count } }
            })
          },
        })
        const refused = await app.send({ key: 'k', body })
        expect(refused).toMatchProblem({ status: 503, code: 'store_unavailable' })
        expect(refused.headers['retry-after']).toMatch(/^[1-9]\d*$/)
        await server.start()
        expect((await effectsOf(app)).map(({ stage }) => stage)).toEqual(['ride_created'])
        const second = await settled(app)
        expect([second.status, second.json()]).toEqual([201, { count: 2 }])
        expect(second.headers['idempotent-replayed']).toBeUndefined()
        expect((await app.effects('k')).map(({ stage, attempt }) => [stage, attempt])).toEqual([
          ['ride_created', 1],
          ['receipt', 2],
        ])
        expect(await app.send({ key: 'k', body })).toReplay(second)
      },
    )

    test('44 · a restart between two stages → the first is not repeated', async () => {
      const app = await away({
        handler: async (_, run) => {
          await run.stage('one', async (tx) => effect(tx, run, 'one'))
          await server.stop('SIGKILL')
          await server.start()
          return await run.finish(async (tx) => {
            await effect(tx, run, 'two')
            return { status: 201, body: 'done' }
          })
        },
      })
      const first = await app.send({ key: 'k', body })
      expect(first.status).toBe(201)
      expect((await app.effects('k')).map(({ stage }) => stage)).toEqual(['one', 'two'])
      expect(await app.send({ key: 'k', body })).toReplay(first)
    })
  })
})

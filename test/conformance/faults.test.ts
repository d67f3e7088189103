/**
 * Conformance 42–44 on PostgreSQL: databases that abort, connections that break, stores that are away. Other engines have
 * files of their own beside this one.
 */
import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest'
import type { HandlerResult } from '../../src/index.ts'
import { pgStore } from '../../src/databases/pg.ts'
import { eventually } from '../support/api-process.ts'
import {
  type App,
  type AppRun,
  effect,
  FRAMEWORKS,
  rideHandler,
  setup,
  type Tx,
} from '../support/app.ts'
import { engineName, engineUrl } from '../support/engine.ts'
import { type Postgres, startPostgres } from '../support/postgres.ts'
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'

const body = { to: 'Oslo' }
const RAISES = ['40001', '40P01', '55P03'] as const

/** A row that two sessions fight for. */
const rival = new pg.Pool({ connectionString: inject('postgresUrl') })
beforeAll(async () => {
  await rival.query('create table if not exists balance (id text primary key, amount int not null)')
})
afterAll(async () => {
  await rival.end()
})

async function newBalance(): Promise<string> {
  const id = randomUUID()
  await rival.query('insert into balance values ($1, 0)', [id])
  return id
}

const add = (tx: { query(text: string, values: unknown[]): Promise<unknown> }, id: string) =>
  tx.query('update balance set amount = amount + 1 where id = $1', [id])

async function amountOf(id: string): Promise<number> {
  const { rows } = await rival.query<{ amount: number }>(
    'select amount from balance where id = $1',
    [id],
  )
  return rows[0]?.amount ?? NaN
}

describe.each(FRAMEWORKS)('%s', (framework) => {
  describe('a database that aborts', () => {
    /** The stage named `in` fails in its first tries. */
    async function failing(
      where: 'stage' | 'finish',
      fail: (tx: Tx, tries: number) => Promise<void>,
    ) {
      let tries = 0
      return await setup({
        framework,
        handler: async (_, run) => {
          await run.stage('ride_created', async (tx) => {
            await effect(tx, run, 'ride_created')
            if (where === 'stage') await fail(tx, ++tries)
          })
          return await run.finish(async (tx) => {
            await effect(tx, run, 'receipt')
            if (where === 'finish') await fail(tx, ++tries)
            return { status: 201, body: { tries } }
          })
        },
      })
    }
    const raise = (tx: Tx, code: string) =>
      tx.query(`do $$ begin raise exception 'injected' using errcode = '${code}'; end $$`)
    const where = ['stage', 'finish'] as const

    test.each(RAISES.flatMap((code) => where.map((at) => ({ code, at }))))(
      '42 · $code raised inside $at, twice → tried again inside; the caller sees the success',
      async ({ code, at }) => {
        const app = await failing(at, async (tx, tries) => {
          if (tries <= 2) await raise(tx, code)
        })
        const first = await app.send({ key: 'k', body })
        const aborted = app.events.filter(({ type }) => type === 'aborted').length
        // That PgBouncer handed over another session, which lacks what was prepared, is an abort too: once in a pool.
        expect([2, engineName() === 'pgbouncer' ? 3 : 2]).toContain(aborted)
        expect([first.status, first.json()]).toEqual([201, { tries: aborted + 1 }])
        expect(app.count()).toBe(1)
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
        if (raising) await raise(tx, '40001')
      })
      const refused = await app.send({ key: 'k', body })
      expect(refused).toMatchProblem({ status: 503, code: 'store_unavailable' })
      expect(refused.headers['retry-after']).toMatch(/^\d+$/)
      expect(await app.effects('k')).toEqual([])
      raising = false
      expect((await app.send({ key: 'k', body })).status).toBe(201)
      expect(await app.effects('k')).toHaveLength(2)
    })

    /** Goal: the abort that only COMMIT brings. Method: a deferred constraint that fails once; sequences never roll back. */
    test('42 · 40001 raised by COMMIT itself → tried again', async () => {
      const name = `deferred_${randomUUID().replaceAll('-', '')}`
      await rival.query(`
        create sequence ${name}_seq;
        create table ${name} (n int);
        create function ${name}_fail() returns trigger language plpgsql as $$ begin
          if nextval('${name}_seq') <= 2 then
            raise exception 'injected at commit' using errcode = '40001';
          end if;
          return null;
        end $$;
        create constraint trigger late after insert on ${name} deferrable initially deferred
          for each row execute function ${name}_fail()`)
      const app = await failing('stage', async (tx) => {
        await tx.query(`insert into ${name} values (1)`)
      })
      const first = await app.send({ key: 'k', body })
      expect([first.status, first.json()]).toEqual([201, { tries: 3 }])
      expect(await app.effects('k')).toHaveLength(2)
      expect((await rival.query(`select * from ${name}`)).rows).toHaveLength(1)
      await rival.query(
        `drop table ${name}; drop sequence ${name}_seq; drop function ${name}_fail()`,
      )
    })

    test.each(where)('42 · a real deadlock (40P01) inside %s → tried again', async (at) => {
      const [a, b] = [await newBalance(), await newBalance()]
      const other = await rival.connect()
      await other.query(`begin; set local deadlock_timeout = '60s'`)
      let rivalDone: Promise<unknown> = Promise.resolve()
      const app = await failing(at, async (tx, tries) => {
        await tx.query(`set local deadlock_timeout = '20ms'`) // We are the one who looks, so we are the victim.
        await add(tx, a)
        if (tries === 1) {
          await add(other, b)
          rivalDone = add(other, a).then(() => other.query('commit'))
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

    test.each(['repeatable read', 'serializable'] as const)(
      '42 · a real serialization failure (40001) at %s → tried again',
      async (isolation) => {
        const id = await newBalance()
        let tries = 0
        const app = await setup({
          framework,
          handler: async (_, run) => {
            await run.stage(
              'paid',
              async (tx) => {
                await tx.query('select amount from balance where id = $1', [id])
                if (++tries === 1) await add(rival, id)
                await add(tx, id)
                await effect(tx, run, 'paid')
              },
              { isolation },
            )
            return { status: 201 }
          },
        })
        expect((await app.send({ key: 'k', body })).status).toBe(201)
        expect([tries, await amountOf(id)]).toEqual([2, 2])
        expect(await app.effects('k')).toHaveLength(1)
        expect(await app.seen('stage_committed')).toMatchObject({ step: 'paid', tries: 2 })
      },
    )

    /** Goal: write skew, which nobody sees before COMMIT. Method: each reads both rows and writes the other's. */
    test('42 · write skew between two serializable sessions → tried again', async () => {
      const [a, b] = [await newBalance(), await newBalance()]
      const sum = 'select sum(amount) from balance where id in ($1, $2)'
      let tries = 0
      const app = await setup({
        framework,
        handler: async (_, run) => {
          await run.stage(
            'paid',
            async (tx) => {
              await tx.query(sum, [a, b])
              if (++tries === 1) {
                const other = await rival.connect()
                await other.query('begin isolation level serializable')
                await other.query(sum, [a, b])
                await add(other, b)
                await add(tx, a)
                await other.query('commit')
                other.release()
              } else await add(tx, a)
              await effect(tx, run, 'paid')
            },
            { isolation: 'serializable' },
          )
          return { status: 201 }
        },
      })
      expect((await app.send({ key: 'k', body })).status).toBe(201)
      expect([tries, await amountOf(a), await amountOf(b)]).toEqual([2, 1, 1])
      expect(await app.effects('k')).toHaveLength(1)
    })

    test('42 · an error that is no abort is not tried again', async () => {
      const app = await failing('stage', async (tx, tries) => {
        if (tries === 1) await raise(tx, '23505')
      })
      expect((await app.send({ key: 'k', body })).status).toBe(500)
      expect(await app.effects('k')).toEqual([])
      expect(app.events.filter(({ type }) => type === 'aborted')).toEqual([])
      expect((await app.send({ key: 'k', body })).status).toBe(201)
    })

    test('42 · an error that the stage swallows is not taken for a commit', async () => {
      const app = await failing('stage', async (tx, tries) => {
        if (tries === 1) await raise(tx, '23505').catch(() => undefined)
      })
      expect((await app.send({ key: 'k', body })).status).toBe(500)
      expect(await app.effects('k')).toEqual([])
      expect((await app.send({ key: 'k', body })).status).toBe(201)
      expect(await app.effects('k')).toHaveLength(2)
    })
  })

  describe.each([false, true])('a connection that breaks (pipeline: %s)', (isPipelined) => {
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
      return { at: url.href, pipeline: isPipelined }
    }
    const cuts = ['before', 'after'] as const

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
        const app = await setup({
          framework,
          ...through(),
          handler: async () => {
            void proxy.cutNext(cut, '"status":201')
            return { status: 201, body: { id: randomUUID() } }
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

  /** Goal: a refused request leaves nothing behind that would refuse its retry. */
  describe('a claim that was given up', () => {
    const keys = ['k-1', 'k-2', 'k-3', 'k-4']
    const impatient = { storeTimeout: '300ms', lease: '5m' } as const

    async function expectAllRefused(app: App): Promise<void> {
      const refused = await Promise.all(keys.map((key) => app.send({ key, body })))
      for (const reply of refused)
        expect(reply).toMatchProblem({ status: 503, code: 'store_unavailable' })
      expect(app.count()).toBe(0)
    }

    /** Soon, and long before the lease ends: what was left behind may take a moment to be cleared away. */
    async function expectAllExecuted(app: App): Promise<void> {
      for (const key of keys)
        await eventually(
          `${key} to be executed, not refused for a claim that nobody has`,
          async () => {
            const { status } = await app.send({ key, body })
            expect([201, 409]).toContain(status)
            return status === 201
          },
        )
      expect(app.count()).toBe(keys.length)
    }

    test('44 · it was still waiting to be sent when the store came back → the retry executes', async () => {
      const proxy = await startTcpProxy(Number(new URL(engineUrl()).port))
      onTestFinished(() => proxy.close())
      const url = new URL(engineUrl())
      url.port = String(proxy.port)
      const app = await setup({
        framework,
        handler: rideHandler,
        at: url.href,
        idempotencyOptions: impatient,
      })
      await app.database.query('select 1')
      proxy.hold(true)
      await expectAllRefused(app)
      proxy.hold(false)
      proxy.cutAll()
      await eventually('the store to be there', async () =>
        app.database.query('select 1').then(
          () => true,
          () => false,
        ),
      )
      await expectAllExecuted(app)
    })

    test('44 · it was executed after its request had been refused → the retry executes', async () => {
      const app = await setup({
        framework,
        handler: rideHandler,
        ownTable: true,
        idempotencyOptions: impatient,
      })
      const other = await rival.connect()
      await other.query(`begin; lock table ${app.table} in exclusive mode`)
      await expectAllRefused(app)
      await other.query('commit')
      other.release()
      await expectAllExecuted(app)
    })
  })

  describe('a store that is away', () => {
    let cluster: Postgres
    beforeAll(async () => {
      cluster = await startPostgres()
      const pool = new pg.Pool({ connectionString: cluster.url })
      await pgStore(pool).migrate()
      await pool.query(
        `create table effects (scope text, idempotency_key text, stage text, attempt int, note text,
                               at timestamptz default clock_timestamp())`,
      )
      await pool.end()
    })
    afterAll(async () => {
      await cluster.remove()
    })

    const away = (more: Partial<Parameters<typeof setup>[0]>) =>
      setup({
        framework,
        at: cluster.url,
        idempotencyOptions: { storeTimeout: '500ms', lease: '300ms' },
        options: { inProgress: { wait: '20s' } },
        ...more,
      })

    test('44 · down at the claim → 503 + Retry-After, handler not run; afterwards it executes', async () => {
      const app = await away({ handler: rideHandler })
      await cluster.stop()
      for (let times = 0; times < 2; times++) {
        const refused = await app.send({ key: 'k', body })
        expect(refused).toMatchProblem({ status: 503, code: 'store_unavailable' })
        expect(refused.headers['retry-after']).toMatch(/^[1-9]\d*$/)
      }
      expect(app.count()).toBe(0)
      await cluster.start()
      const first = await app.send({ key: 'k', body })
      expect(first.status).toBe(201)
      expect(await app.send({ key: 'k', body })).toReplay(first)
    })

    test('44 · storeUnavailable: run_unprotected → said loudly, runs without a record', async () => {
      const app = await away({
        handler: () => ({ status: 201, body: 'ran' }),
        options: { storeUnavailable: 'run_unprotected' },
      })
      await cluster.stop()
      const reply = await app.send({ key: 'k', body })
      expect([reply.status, reply.text()]).toEqual([201, 'ran'])
      expect(await app.seen('unprotected')).toMatchObject({ why: 'store unavailable' })
      await cluster.start()
    })

    test.each(['fast', 'immediate'] as const)(
      '44 · down (%s) at finish inside the transaction → 503, the effect rolls back too; the retry resumes',
      async (how) => {
        const app = await away({
          handler: async ({ count }, run) => {
            await run.stage('ride_created', async (tx) => effect(tx, run, 'ride_created'))
            return await run.finish(async (tx) => {
              await effect(tx, run, 'receipt')
              if (count === 1) await cluster.stop(how)
              return { status: 201, body: { count } }
            })
          },
        })
        const refused = await app.send({ key: 'k', body })
        expect(refused).toMatchProblem({ status: 503, code: 'store_unavailable' })
        expect(refused.headers['retry-after']).toMatch(/^[1-9]\d*$/)
        await cluster.start()
        expect((await app.effects('k')).map(({ stage }) => stage)).toEqual(['ride_created'])
        const second = await app.send({ key: 'k', body })
        expect([second.status, second.json()]).toEqual([201, { count: 2 }])
        expect(second.headers['idempotent-replayed']).toBeUndefined()
        expect((await app.effects('k')).map(({ stage, attempt }) => [stage, attempt])).toEqual([
          ['ride_created', 1],
          ['receipt', 2],
        ])
        expect(await app.send({ key: 'k', body })).toReplay(second)
      },
    )

    test('44 · down at the finish of a handler without stages → 503, not a success that nobody remembers', async () => {
      const app = await away({
        handler: async ({ count }) => {
          if (count === 1) await cluster.stop('immediate')
          return { status: 201, body: { count } }
        },
      })
      expect(await app.send({ key: 'k', body })).toMatchProblem({
        status: 503,
        code: 'store_unavailable',
      })
      await cluster.start()
      const second = await app.send({ key: 'k', body })
      expect([second.status, second.json()]).toEqual([201, { count: 2 }])
      expect(await app.send({ key: 'k', body })).toReplay(second)
    })

    test('44 · the same where the handler writes its response itself: nothing of it leaves', async () => {
      let runs = 0
      const app = await away({
        plain: {
          express: async (_, res) => {
            if (++runs === 1) await cluster.stop('immediate')
            res.status(201).json({ runs })
          },
          fetch: async () => {
            if (++runs === 1) await cluster.stop('immediate')
            return Response.json({ runs }, { status: 201 })
          },
        },
      })
      expect(await app.send({ key: 'k', body })).toMatchProblem({
        status: 503,
        code: 'store_unavailable',
      })
      await cluster.start()
      const second = await app.send({ key: 'k', body })
      expect([second.status, second.json()]).toEqual([201, { runs: 2 }])
    })

    test('44 · a restart between two stages → the first is not repeated', async () => {
      const app = await away({
        handler: async (_, run) => {
          await run.stage('one', async (tx) => effect(tx, run, 'one'))
          await cluster.stop('immediate')
          await cluster.start()
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

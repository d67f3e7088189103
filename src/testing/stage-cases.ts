/** Step 2 and 4: the application's rows, and what is recorded of them, in one commit or not at all. */
import assert from 'node:assert/strict'
import {
  body,
  type Change,
  gate,
  matches,
  SHORT,
  sleep,
  type StoreCase,
  UNRENEWED,
} from './store-kit.ts'

export const STAGE_CASES: readonly StoreCase[] = [
  {
    title: '11, 12 · a stage and a finish commit once, and the retry replays',
    needs: 'effects',
    run: async (kit) => {
      const { idempotency, request, effect, effects } = kit.process()
      const go = () =>
        idempotency.run(request, async ({ to }, run) => {
          const ride = await run.stage('ride_created', async (tx) => {
            await effect(tx, 'ride')
            return { to }
          })
          return await run.finish(async (tx) => {
            await effect(tx, 'receipt')
            return { status: 201, body: ride }
          })
        })
      const first = await go()
      const second = await go()
      matches(second, { kind: 'finished', replayed: true })
      assert.equal(body(second), '{"to":"Oslo"}')
      assert.equal(body(second), body(first))
      assert.deepEqual(await effects(), ['receipt', 'ride'])
    },
  },
  {
    title: '28 · simultaneous duplicates: one effect',
    needs: 'effects',
    run: async (kit) => {
      const { idempotency, request, effect, effects } = kit.process()
      const go = () =>
        idempotency.run({ ...request, inProgress: { wait: '5s' } }, async (_, run) => {
          await run.stage('a', (tx) => effect(tx, 'a'))
          return { body: 'done' }
        })
      const answers = await Promise.all(Array.from({ length: 20 }, go))
      assert.deepEqual(new Set(answers.map(body)), new Set(['done']))
      assert.deepEqual(await effects(), ['a'])
    },
  },
  {
    title: '36 · an error after a stage: the retry resumes behind it, with its result',
    needs: 'effects',
    run: async (kit) => {
      const { idempotency, request, effect, effects } = kit.process()
      let broken = true
      const go = () =>
        idempotency.run(request, async (_, run) => {
          const ride = await run.stage('ride_created', async (tx) => {
            await effect(tx, 'ride')
            return { id: run.attempt, at: new Date(0) as unknown as string }
          })
          if (broken) throw new Error('broken')
          const { attempt, resumed, recoveryPoint } = run
          return { body: { ride, attempt, resumed, recoveryPoint } }
        })
      await assert.rejects(go, /broken/)
      broken = false
      assert.deepEqual(JSON.parse(body(await go())), {
        ride: { id: 1, at: '1970-01-01T00:00:00.000Z' },
        attempt: 2,
        resumed: true,
        recoveryPoint: 'ride_created',
      })
      assert.deepEqual(await effects(), ['ride'])
    },
  },
  {
    title: '36 · an error inside a stage rolls its rows back; the retry runs it',
    needs: 'effects',
    run: async (kit) => {
      const { idempotency, request, effect, effects } = kit.process()
      let broken = true
      const go = () =>
        idempotency.run(request, async (_, run) => {
          await run.stage('a', async (tx) => {
            await effect(tx, `a${String(run.attempt)}`)
            if (broken) throw new Error('broken')
          })
          return { body: 'ok' }
        })
      await assert.rejects(go, /broken/)
      assert.deepEqual(await effects(), [])
      broken = false
      assert.equal(body(await go()), 'ok')
      assert.deepEqual(await effects(), ['a2'])
    },
  },
  {
    title: '41 · a fenced attempt’s rows are rolled back, and it cannot finish',
    needs: 'effects',
    run: async (kit) => {
      const { idempotency, request, effect, effects } = kit.process(UNRENEWED, SHORT)
      const stale = idempotency.run(request, async (_, run) => {
        await run.stage('a', (tx) => effect(tx, 'a'))
        await kit.lapse()
        await kit.steal(request)
        await run.stage('b', (tx) => effect(tx, 'b'))
      })
      await assert.rejects(stale, { code: 'lease_lost', retryable: true })
      assert.deepEqual(await effects(), ['a'])
      matches(await kit.record(request), { owner: 'thief', recoveryPoint: 'a' })
    },
  },
  {
    title: '42 · a definite abort is retried inside; the caller sees the success',
    needs: 'faults',
    run: async (kit) => {
      const { idempotency, request, effect, effects, seen } = kit.process()
      let tries = 0
      const result = await idempotency.run(request, async (_, run) => {
        await run.stage('a', async (tx) => {
          await effect(tx, 'a')
          if (tries++ < 2) await kit.under.faults?.abort(tx, tries)
        })
        return { body: 'ok' }
      })
      assert.equal(body(result), 'ok')
      assert.deepEqual([tries, seen('aborted'), await effects()], [3, 2, ['a']])
    },
  },
  {
    title: '42 · a stage that is always aborted ends in a typed error, and nothing is committed',
    needs: 'faults',
    run: async (kit) => {
      const { idempotency, request, effect, effects } = kit.process()
      const go = idempotency.run(request, async (_, run) => {
        await run.stage('a', async (tx) => {
          await effect(tx, 'a')
          await kit.under.faults?.abort(tx, 0)
        })
      })
      await assert.rejects(go, { code: 'stage_aborted', retryable: true })
      assert.deepEqual(await effects(), [])
    },
  },
  {
    title:
      '42 · a branch that Promise.all left behind commits nothing, neither with the next try nor alone',
    needs: 'faults',
    run: async (kit) => {
      const { idempotency, request, effect, effects } = kit.process()
      const branches: Promise<unknown>[] = []
      const second = gate()
      let tries = 0
      const answer = await idempotency.run(request, async (_, run) => {
        await run.stage('audited', async (tx) => {
          const nth = ++tries
          if (nth === 2) second.open()
          const begun = nth === 1 ? second.passed : Promise.resolve()
          const slow = begun.then(() => effect(tx, `audit-${String(nth)}`))
          branches.push(slow.catch((error: unknown) => error))
          await Promise.all([slow, nth === 1 ? kit.under.faults?.abort(tx, nth) : sleep(80)])
        })
        await sleep(100)
        return { body: 'ok' }
      })
      matches(answer, { kind: 'finished' })
      assert.deepEqual(await effects(), ['audit-2'])
      assert((await branches[0]) instanceof Error)
    },
  },
  {
    title: 'an application’s own database error passes as the same object, rows rolled back',
    needs: 'faults',
    run: async (kit) => {
      const { idempotency, request, effect, effects } = kit.process()
      let thrown: unknown
      const go = idempotency.run(request, async (_, run) => {
        await run.stage('a', async (tx) => {
          await effect(tx, 'a')
          await kit.under.faults?.refuse(tx).catch((error: unknown) => {
            thrown = error
            throw error
          })
        })
      })
      const error: unknown = await go.catch((failure: unknown) => failure)
      assert(thrown instanceof Error)
      assert.equal(error, thrown)
      assert.deepEqual(await effects(), [])
    },
  },
  {
    title: 'a swallowed error inside a stage: what is reported as committed is committed',
    needs: 'faults',
    run: async (kit) => {
      const { idempotency, request, effect, effects } = kit.process()
      const go = idempotency.run(request, async (_, run) => {
        await run.stage('a', async (tx) => {
          await effect(tx, 'a')
          await kit.under.faults?.refuse(tx).catch(() => undefined)
        })
        return { body: 'kept' }
      })
      if (kit.under.faults?.spoils === true) {
        await assert.rejects(go, { code: 'transaction_failed_inside' })
        assert.deepEqual(await effects(), [])
        return
      }
      assert.equal(body(await go), 'kept')
      assert.deepEqual(await effects(), ['a'])
    },
  },
  {
    title:
      'a swallowed failure outside of a record: said so, and no transaction stays open on the connection',
    needs: 'faults',
    run: async (kit) => {
      const { key } = kit.request()
      const { store, under } = kit
      const failed = store.transaction({ isolation: undefined }, async (tx) => {
        await under.faults?.refuse(tx).catch(() => undefined)
      })
      if (under.faults?.spoils === true)
        await assert.rejects(failed, { code: 'transaction_failed_inside' })
      else await failed
      await store.transaction({ isolation: undefined }, (tx) => kit.effect(tx, `${key}/after`))
      assert.deepEqual(await kit.effectsOf(key), ['after'])
    },
  },
  {
    title: 'a stage above READ COMMITTED outlives several heartbeats',
    needs: 'isolation',
    run: async (kit) => {
      const { idempotency, request, effect, effects, seen } = kit.process({}, SHORT)
      const { isolation } = kit.under
      const slow = async (tx: unknown): Promise<void> => {
        // Never silent for the length of a lease: a server may be told to end such a session.
        for (let times = 0; times < 10; times++) {
          await effect(tx, 'a')
          await sleep(60)
        }
      }
      const result = await idempotency.run(request, async (_, run) => {
        await run.stage('a', slow, isolation === undefined ? {} : { isolation })
        return { body: 'ok' }
      })
      assert.equal(body(result), 'ok')
      assert.deepEqual([await effects(), seen('aborted')], [Array<string>(10).fill('a'), 0])
    },
  },
  {
    title:
      '28 · a record is not taken over while a stage of its owner commits, whatever its lease says',
    needs: 'effects',
    run: async (kit) => {
      const { idempotency, request, effect, effects } = kit.process(UNRENEWED, SHORT)
      const rival = kit.process({}, SHORT)
      const inside = gate()
      const slow = idempotency.run(request, async (_, run) => {
        await run.stage('a', async (tx) => {
          await effect(tx, 'first')
          inside.open()
          await kit.lapse()
        })
        return { body: 'first' }
      })
      await inside.passed
      const wait = { ...request, inProgress: { wait: '5s' } } as const
      const answers = await Promise.allSettled([
        slow,
        rival.idempotency.run(wait, async (_, run) => {
          await run.stage('a', (tx) => effect(tx, 'second'))
          return { body: 'second' }
        }),
      ])
      // Either may win; what may not be is both.
      const done = answers.flatMap((one) => (one.status === 'fulfilled' ? [body(one.value)] : []))
      assert.equal(new Set(done).size, 1)
      assert.equal((await effects()).length, 1)
    },
  },
  {
    title: '41 · a commit whose write names another revision commits nothing',
    needs: 'effects',
    run: async (kit) => {
      const commit: Change['commit'] = (hold, options, work) =>
        kit.store.commit(hold, options, async (tx) => {
          const { value, write } = await work(tx)
          return { value, write: 'revision' in write ? { ...write, revision: 7 } : write }
        })
      const { idempotency, request, effect, effects } = kit.process({ commit })
      const go = idempotency.run(request, async (_, run) => {
        await run.stage('a', (tx) => effect(tx, 'a'))
      })
      await assert.rejects(go, { code: 'lease_lost' })
      assert.deepEqual(await effects(), [])
    },
  },
]

/**
 * Goal: the protocol holds on every store: what is committed is committed once, what is not is not, and whoever asks
 * again learns it. Method: the engine without HTTP, on a real database, with faults put between the two.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createIdempotency, type PawlEvent, type RunResult } from '../../src/index.ts'
import { type Queries, STORES, type StoreUnderTest } from './stores.ts'
import { AbortedError, CommitUnknownError, type Store } from '../../src/core/store.ts'
import { StoreUnavailableError } from '../../src/core/errors.ts'

const body = (result: RunResult): string =>
  result.kind === 'finished' ? Buffer.from(result.outcome.body ?? []).toString() : result.kind

describe.each(STORES)('%s', (_, open) => {
  let under: StoreUnderTest
  let keys = 0
  beforeAll(async () => {
    under = await open()
  })
  afterAll(async () => {
    await under.close()
  })

  function setup(change: Partial<Store<Queries>> = {}, options: { lease?: '250ms' | '10s' } = {}) {
    const events: PawlEvent[] = []
    const store = new Proxy(under.store, {
      get: (target, name) => {
        const changed = (change as Record<PropertyKey, unknown>)[name]
        const value = changed ?? (target as unknown as Record<PropertyKey, unknown>)[name]
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })
    const idempotency = createIdempotency({
      store,
      lease: options.lease ?? '10s',
      storeTimeout: '2s',
      onEvent: (event) => events.push(event),
    })
    const key = `key-${String(++keys)}`
    const request = { operation: 'create-ride', scope: 'u1', key, input: { to: 'Oslo' } }
    const effect = async (tx: Queries, step: string, attempt: number): Promise<void> => {
      await tx.query(`insert into ${under.table}_effect values ($1, $2)`, [
        `${key}/${step}`,
        attempt,
      ])
    }
    const effects = async (): Promise<string[]> =>
      (
        await under.sql<{ step: string }>(
          `select step from ${under.table}_effect where step like $1 order by step`,
          [`${key}/%`],
        )
      ).map(({ step }) => step.slice(key.length + 1))
    const seen = (type: PawlEvent['type']): number =>
      events.filter((event) => event.type === type).length
    return { idempotency, request, effect, effects, events, seen }
  }

  test('11, 12 · first runs, the retry replays the same bytes and runs nothing', async () => {
    const { idempotency, request, effect, effects } = setup()
    const go = () =>
      idempotency.run(request, async ({ to }, run) => {
        const ride = await run.stage('ride_created', async (tx) => {
          await effect(tx, 'ride', run.attempt)
          return { to }
        })
        return await run.finish(async (tx) => {
          await effect(tx, 'receipt', run.attempt)
          return { status: 201, headers: { location: '/1', 'set-cookie': 's=1' }, body: ride }
        })
      })
    const first = await go()
    const second = await go()
    expect(first).toMatchObject({ kind: 'finished', replayed: false, stored: true })
    expect(second).toMatchObject({ kind: 'finished', replayed: true, outcome: { status: 201 } })
    expect(body(second)).toBe('{"to":"Oslo"}')
    expect(body(second)).toBe(body(first))
    expect(JSON.stringify(second)).not.toContain('set-cookie')
    expect(await effects()).toEqual(['receipt', 'ride'])
  })

  test('36 · an error after a stage: the retry resumes behind it, with its result', async () => {
    const { idempotency, request, effect, effects } = setup()
    let broken = true
    const go = () =>
      idempotency.run(request, async (_, run) => {
        const ride = await run.stage('ride_created', async (tx) => {
          await effect(tx, 'ride', run.attempt)
          return { id: run.attempt, at: new Date(0) as unknown as string }
        })
        if (broken) throw new Error('broken')
        return {
          body: { ride, attempt: run.attempt, resumed: run.resumed, point: run.recoveryPoint },
        }
      })
    await expect(go()).rejects.toThrow('broken')
    broken = false
    expect(JSON.parse(body(await go()))).toEqual({
      ride: { id: 1, at: '1970-01-01T00:00:00.000Z' },
      attempt: 2,
      resumed: true,
      point: 'ride_created',
    })
    expect(await effects()).toEqual(['ride'])
  })

  test('14 · a returned 5xx is not stored; with onError "store" it is', async () => {
    const { idempotency, request } = setup()
    let runs = 0
    const go = (onError: 'resume' | 'store', key: string) =>
      idempotency.run({ ...request, key, onError }, () => ({ status: 503, body: String(++runs) }))
    expect(await go('resume', 'a')).toMatchObject({ stored: false, replayed: false })
    expect(body(await go('resume', 'a'))).toBe('2')
    expect(await go('store', 'b')).toMatchObject({ stored: true })
    expect(body(await go('store', 'b'))).toBe('3')
  })

  test('14 · a thrown error with onError "store" is a stored 500', async () => {
    const { idempotency, request } = setup()
    const fail = () =>
      idempotency.run({ ...request, onError: 'store' }, () => {
        throw new Error('secret')
      })
    expect(await fail()).toMatchObject({ outcome: { status: 500 }, replayed: false })
    const again = await fail()
    expect(again).toMatchObject({ outcome: { status: 500 }, replayed: true })
    expect(body(again)).not.toContain('secret')
  })

  test('28 · simultaneous duplicates: one effect, everybody else waits and replays, or is told', async () => {
    const { idempotency, request, effect, effects } = setup()
    const go = (wait: 0 | '5s') =>
      idempotency.run({ ...request, inProgress: { wait } }, async (_, run) => {
        await run.stage('a', (tx) => effect(tx, 'a', run.attempt))
        return { body: 'done' }
      })
    const results = await Promise.all(
      Array.from({ length: 40 }, (_, at) => go(at % 2 === 0 ? '5s' : 0)),
    )
    expect(await effects()).toEqual(['a'])
    const waited = results.filter((_, at) => at % 2 === 0)
    expect(waited.map(body)).toEqual(waited.map(() => 'done'))
    expect(results.every(({ kind }) => kind === 'finished' || kind === 'in_progress')).toBe(true)
  })

  test('32 · reuse after the retention is a new execution, with another downstream key', async () => {
    const { idempotency, request } = setup()
    const downstream: string[] = []
    const go = () =>
      idempotency.run(request, async (_, run) => {
        await run.call('charged', ({ idempotencyKey }) => void downstream.push(idempotencyKey))
        return { body: String(run.attempt) }
      })
    expect(body(await go())).toBe('1')
    await under.sql(
      `update ${under.table} set expires_at = now() - interval '1 s' where idempotency_key = $1`,
      [request.key],
    )
    expect(body(await go())).toBe('2')
    expect(new Set(downstream).size).toBe(2)
    expect(await go()).toMatchObject({ replayed: true })
  })

  test('37 · a call whose attempt dies is made again with the same downstream key', async () => {
    const { idempotency, request } = setup()
    const downstream: string[] = []
    const go = () =>
      idempotency.run(request, async (_, run) => {
        const charge = await run.call('charged', ({ idempotencyKey }) => {
          downstream.push(idempotencyKey)
          if (downstream.length === 1) throw new Error('the answer was lost')
          return { id: 'ch_1' }
        })
        return { body: charge }
      })
    await expect(go()).rejects.toThrow('the answer was lost')
    expect(body(await go())).toBe('{"id":"ch_1"}')
    expect(downstream).toEqual([downstream[0], downstream[0]])
  })

  describe('38 · a call that is not repeatable', () => {
    const go = (s: ReturnType<typeof setup>, work: () => unknown) =>
      s.idempotency.run(s.request, async (_, run) => {
        await run.call('charged', work as () => null, { repeatable: false })
        return { body: 'ok' }
      })

    test('and whose answer is not learned stops the record: it is never sent again', async () => {
      const s = setup()
      let sent = 0
      const work = () => {
        sent++
        throw new Error('socket hang up')
      }
      await expect(go(s, work)).rejects.toMatchObject({
        code: 'outcome_unknown',
        safeNewKey: false,
      })
      expect(await go(s, work)).toMatchObject({ kind: 'unknown' })
      expect(sent).toBe(1)
    })

    test('that never left may be sent again', async () => {
      const s = setup()
      let sent = 0
      const work = () => {
        sent++
        if (sent === 1) throw Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })
      }
      await expect(go(s, work)).rejects.toThrow('refused')
      expect(body(await go(s, work))).toBe('ok')
      expect(sent).toBe(2)
    })

    test('keeps its record stopped when the handler swallows the error', async () => {
      const s = setup()
      const swallowed = s.idempotency.run(s.request, async (_, run) => {
        await run
          .call('charged', () => Promise.reject(new Error('lost')), { repeatable: false })
          .catch(() => null)
        return { body: 'all fine' }
      })
      await expect(swallowed).rejects.toMatchObject({ code: 'outcome_unknown' })
    })
  })

  test('41 · a fenced attempt’s rows are rolled back, and it cannot finish', async () => {
    const { idempotency, request, effect, effects } = setup()
    const steal = () =>
      under.sql(
        `update ${under.table} set attempt = attempt + 1, owner = 'thief' where idempotency_key = $1`,
        [request.key],
      )
    const stale = idempotency.run(request, async (_, run) => {
      await run.stage('a', (tx) => effect(tx, 'a', run.attempt))
      await steal()
      await run.stage('b', (tx) => effect(tx, 'b', run.attempt))
    })
    await expect(stale).rejects.toMatchObject({ code: 'lease_lost', retryable: true })
    expect(await effects()).toEqual(['a'])
  })

  test('42 · a definite abort is retried inside; the caller sees the success', async () => {
    const { idempotency, request, effect, effects, seen } = setup()
    let tries = 0
    const result = await idempotency.run(request, async (_, run) => {
      await run.stage('a', async (tx) => {
        await effect(tx, 'a', run.attempt)
        const code = ['40001', '40P01'][tries++]
        if (code !== undefined)
          await tx.query(`do $$ begin raise exception 'injected' using errcode = '${code}'; end $$`)
      })
      return { body: 'ok' }
    })
    expect(body(result)).toBe('ok')
    expect([tries, seen('aborted'), await effects()]).toEqual([3, 2, ['a']])
  })

  test('42 · a stage that is always aborted ends in a typed error, and nothing is committed', async () => {
    const { idempotency, request, effect, effects } = setup()
    const go = idempotency.run(request, async (_, run) => {
      await run.stage('a', async (tx) => {
        await effect(tx, 'a', run.attempt)
        await tx.query(`do $$ begin raise exception 'injected' using errcode = '40001'; end $$`)
      })
    })
    await expect(go).rejects.toMatchObject({ code: 'stage_aborted', retryable: true })
    expect(await effects()).toEqual([])
  })

  test('an application’s own database error passes as the same object, rows rolled back', async () => {
    const { idempotency, request, effect, effects } = setup()
    let thrown: unknown
    const go = idempotency.run(request, async (_, run) => {
      await run.stage('a', async (tx) => {
        await effect(tx, 'a', run.attempt)
        await tx.query('select 1 / 0').catch((error: unknown) => {
          thrown = error
          throw error
        })
      })
    })
    const error: unknown = await go.catch((failure: unknown) => failure)
    expect(error).toBe(thrown)
    expect(error).toMatchObject({ code: '22012' })
    expect(await effects()).toEqual([])
  })

  test('a swallowed error inside a stage is found out: it is not reported as committed', async () => {
    const { idempotency, request, effect, effects } = setup()
    const go = idempotency.run(request, async (_, run) => {
      await run.stage('a', async (tx) => {
        await effect(tx, 'a', run.attempt)
        await tx.query('select * from no_such_table').catch(() => undefined)
      })
      return { body: 'lost' }
    })
    await expect(go).rejects.toMatchObject({ code: 'transaction_failed_inside' })
    expect(await effects()).toEqual([])
  })

  describe('43 · an acknowledgement is lost', () => {
    const lostAck = <Args extends unknown[], R>(
      method: (...args: Args) => Promise<R>,
      error: unknown,
    ) => {
      let lost = false
      return async (...args: Args): Promise<R> => {
        const result = await method.apply(under.store, args)
        if (lost) return result
        lost = true
        throw error
      }
    }

    test('of a claim: it recognises itself, attempt unchanged', async () => {
      const claim = lostAck(
        under.store.claim.bind(under.store),
        new StoreUnavailableError('claiming'),
      )
      const { idempotency, request } = setup({ claim })
      expect(
        body(await idempotency.run(request, (_, run) => ({ body: String(run.attempt) }))),
      ).toBe('1')
    })

    test('of a stage’s commit: the record is read again, the stage is not run twice', async () => {
      const commit = lostAck(
        under.store.commit.bind(under.store) as never,
        new CommitUnknownError('cut'),
      ) as never
      const { idempotency, request, effect, effects, seen } = setup({ commit })
      const result = await idempotency.run(request, async (_, run) => {
        await run.stage('a', (tx) => effect(tx, 'a', run.attempt))
        return { body: 'ok' }
      })
      expect(body(result)).toBe('ok')
      expect([await effects(), seen('commit_resolved')]).toEqual([['a'], 1])
    })

    test('of a commit that never arrived: the stage runs again', async () => {
      let cut = true
      const commit: Store<Queries>['commit'] = async (hold, options, work) => {
        if (!cut) return await under.store.commit(hold, options as never, work)
        cut = false
        const sentinel = new Error('rolled back')
        await under.store
          .transaction({ isolation: undefined }, async (tx) => {
            await work(tx)
            throw sentinel
          })
          .catch(() => undefined)
        throw new CommitUnknownError('cut')
      }
      const { idempotency, request, effect, effects } = setup({ commit })
      await idempotency.run(request, async (_, run) => {
        await run.stage('a', (tx) => effect(tx, 'a', run.attempt))
      })
      expect(await effects()).toEqual(['a'])
    })

    test('of a commit that lands only after it was looked for: its own result is the one returned', async () => {
      let calls = 0
      const commit: Store<Queries>['commit'] = async (hold, options, work) => {
        if (++calls !== 1) {
          if (calls === 2) await late()
          return await under.store.commit(hold, options as never, work)
        }
        const first = await under.store
          .transaction({ isolation: undefined }, async (tx) => {
            const planned = await work(tx)
            throw Object.assign(new Error('rolled back'), { planned })
          })
          .catch((error: { planned: Awaited<ReturnType<typeof work>> }) => error.planned)
        late = () =>
          under.store.commit(hold, { isolation: undefined }, () => Promise.resolve(first))
        throw new CommitUnknownError('cut')
      }
      let late = (): Promise<unknown> => Promise.resolve()
      const { idempotency, request } = setup({ commit })
      let tries = 0
      const result = await idempotency.run(request, async (_, run) => {
        return { body: await run.stage('a', () => ({ try: ++tries })) }
      })
      expect([body(result), tries]).toEqual(['{"try":1}', 2])
    })

    test('of a call’s record and of a lone finish: they are looked for before they count as fenced', async () => {
      const write = lostAck(
        under.store.write.bind(under.store),
        new StoreUnavailableError('recording'),
      )
      const { idempotency, request } = setup({ write })
      let sent = 0
      const go = () =>
        idempotency.run(request, async (_, run) => {
          await run.call('charged', () => void sent++)
          return { body: 'ok' }
        })
      expect(body(await go())).toBe('ok')
      expect(await go()).toMatchObject({ replayed: true })
      expect(sent).toBe(1)
      const finish = lostAck(
        under.store.write.bind(under.store),
        new StoreUnavailableError('recording'),
      )
      const alone = setup({ write: finish })
      expect(await alone.idempotency.run(alone.request, () => ({ body: 'x' }))).toMatchObject({
        stored: true,
      })
    })
  })

  test('44 · no answer to a claim: the handler does not run', async () => {
    const claim = () => Promise.reject(new StoreUnavailableError('claiming'))
    const { idempotency, request } = setup({ claim })
    let ran = false
    await expect(
      idempotency.run(request, () => {
        ran = true
      }),
    ).rejects.toMatchObject({ code: 'store_unavailable', retryable: true })
    expect(ran).toBe(false)
  })

  test('an abort in autocommit is asked again', async () => {
    let aborted = 0
    const claim: Store<Queries>['claim'] = async (input) => {
      if (aborted++ < 2) throw new AbortedError('deadlock')
      return await under.store.claim(input)
    }
    const { idempotency, request } = setup({ claim })
    expect(body(await idempotency.run(request, () => ({ body: 'ok' })))).toBe('ok')
  })

  describe('steps that could not be resumed are refused', () => {
    test.each<
      [
        string,
        (
          run: Parameters<Parameters<ReturnType<typeof setup>['idempotency']['run']>[1]>[1],
        ) => Promise<unknown>,
      ]
    >([
      [
        'a stage inside a stage',
        (run) => run.stage('a', async () => await run.stage('b', () => 1)),
      ],
      ['a call inside a stage', (run) => run.stage('a', async () => await run.call('b', () => 1))],
      ['a stage inside a call', (run) => run.call('a', () => run.stage('b', () => 1))],
      ['a call inside a call', (run) => run.call('a', () => run.call('b', () => 1))],
      [
        'two at once',
        async (run) => {
          const first = run.stage('a', () => 1)
          await run.stage('b', () => 1).finally(() => first)
        },
      ],
      [
        'one name twice',
        async (run) => [await run.stage('a', () => 1), await run.stage('a', () => 2)],
      ],
      ['a name that is none', (run) => run.stage('__proto__', () => 1)],
      [
        'after finish',
        async (run) => [await run.finish(() => ({})), await run.stage('b', () => 1)],
      ],
    ])('%s', async (name, steps) => {
      const { idempotency, request } = setup()
      const outcome = idempotency.run(request, async (_, run) => {
        await expect(steps(run)).rejects.toMatchObject({ code: 'step_misused' })
        return name === 'after finish' ? undefined : { body: 'x' }
      })
      await outcome
    })

    test('a step that failed may be tried again under its name; what is recorded may not', async () => {
      const { idempotency, request, effect, effects } = setup()
      let calls = 0
      const go = () =>
        idempotency.run(request, async (_, run) => {
          const charge = () =>
            run.call('charged', () => {
              calls++
              if (calls === 1) throw new Error('busy')
              return calls
            })
          const sale = (): Promise<void> =>
            run.stage('sold', async (tx) => {
              await effect(tx, 'sold', run.attempt)
              if (calls === 2) throw new Error(`sold out ${String(calls++)}`)
            })
          await charge().catch(charge)
          await sale().catch(sale)
          return { body: String(calls) }
        })
      expect(body(await go())).toBe('3')
      expect(await go()).toMatchObject({ replayed: true })
      expect(await effects()).toEqual(['sold'])
    })

    test('a stage left open when the handler returns', async () => {
      const { idempotency, request, effect } = setup()
      const go = idempotency.run(request, (_, run) => {
        void run.stage('a', (tx) => effect(tx, 'a', run.attempt))
        return { body: 'too early' }
      })
      await expect(go).rejects.toMatchObject({ code: 'step_misused' })
    })
  })

  describe('a record whose stages the handler does not pass in the same order', () => {
    test.each([
      [
        'another name',
        async (run: { stage: (name: string, work: () => null) => Promise<null> }) =>
          run.stage('renamed', () => null),
      ],
      ['none at all', () => Promise.resolve(null)],
    ])('%s: nothing runs, nothing is guessed', async (_, then) => {
      const { idempotency, request, effect, effects } = setup()
      await expect(
        idempotency.run(request, async (__, run) => {
          await run.stage('a', (tx) => effect(tx, 'a', run.attempt))
          throw new Error('deploy')
        }),
      ).rejects.toThrow('deploy')
      await expect(
        idempotency.run(request, async (__, run) => {
          await then(run)
          return { body: 'guessed' }
        }),
      ).rejects.toMatchObject({ code: 'recovery_point_unknown' })
      expect(await effects()).toEqual(['a'])
      const back = await idempotency.run(request, async (__, run) => {
        await run.stage('a', (tx) => effect(tx, 'a', run.attempt))
        return { body: 'resumed' }
      })
      expect(body(back)).toBe('resumed')
    })
  })

  test('a stage above READ COMMITTED outlives several heartbeats', async () => {
    const { idempotency, request, effect, effects, seen } = setup({}, { lease: '250ms' })
    const result = await idempotency.run(request, async (_, run) => {
      await run.stage(
        'a',
        async (tx) => {
          await effect(tx, 'a', run.attempt)
          await new Promise((resolve) => setTimeout(resolve, 600))
        },
        { isolation: 'serializable' },
      )
      return { body: 'ok' }
    })
    expect(body(result)).toBe('ok')
    expect([await effects(), seen('aborted')]).toEqual([['a'], 0])
  })

  test('a heartbeat keeps a slow handler’s lease, and tells it when another has taken over', async () => {
    const { idempotency, request } = setup({}, { lease: '250ms' })
    const slow = idempotency.run(request, async (_, run) => {
      await new Promise((resolve) => setTimeout(resolve, 700))
      expect((await idempotency.run(request, () => ({ body: 'rival' }))).kind).toBe('in_progress')
      await under.sql(`update ${under.table} set attempt = 9 where idempotency_key = $1`, [
        request.key,
      ])
      await new Promise((resolve) => run.signal.addEventListener('abort', resolve))
      return { body: 'too late' }
    })
    await expect(slow).rejects.toMatchObject({ code: 'lease_lost' })
  })

  test('a heartbeat that crosses a finish reports no loss; one of a taken over record does', async () => {
    const { idempotency, request } = setup()
    let hold = { id: '', owner: '', attempt: 0 }
    const result = await idempotency.run(request, async (_, run) => {
      await run.stage('a', () => 1)
      const rows = await under.sql<typeof hold>(
        `select id, owner, attempt from ${under.table} where id = $1`,
        [run.id],
      )
      hold = rows[0] ?? hold
      return { body: 'ok' }
    })
    expect(result).toMatchObject({ stored: true })
    expect(await under.store.heartbeat([hold], 10_000)).toEqual([])
    const stale = { ...hold, attempt: hold.attempt - 1 }
    expect(await under.store.heartbeat([stale], 10_000)).toEqual([stale])
    const gone = { ...hold, id: 'ikey_gone' }
    expect(await under.store.heartbeat([gone], 10_000)).toEqual([gone])
  })

  test('33 · the reaper deletes expired outcomes in batches, and never a running or unknown record', async () => {
    const { idempotency, request } = setup()
    await idempotency.run({ ...request, key: 'reap-1' }, () => ({ body: '1' }))
    await idempotency.run({ ...request, key: 'reap-2' }, () => ({ body: '2' }))
    await expect(
      idempotency.run({ ...request, key: 'reap-running' }, async (_, run) => {
        await run.stage('a', () => 1)
        throw new Error('later')
      }),
    ).rejects.toThrow('later')
    await idempotency
      .run({ ...request, key: 'reap-unknown' }, (_, run) =>
        run.call('a', () => Promise.reject(new Error('?')), { repeatable: false }),
      )
      .catch(() => undefined)
    await under.sql(
      `update ${under.table} set expires_at = now() - interval '10 years' where idempotency_key like 'reap-%'`,
    )
    expect(await under.store.reap(1, 0)).toBe(1)
    expect(await under.store.reap(100, 0)).toBe(1)
    expect(await under.store.reap(100, 0)).toBe(0)
    const left = await under.sql(
      `select idempotency_key from ${under.table} where idempotency_key like 'reap-%' order by 1`,
    )
    expect(left).toEqual([{ idempotency_key: 'reap-running' }, { idempotency_key: 'reap-unknown' }])
  })

  test('close: no new work, in-flight work ends, what does not end is given up and fenced', async () => {
    const { idempotency, request, effect, effects } = setup()
    let release: (() => void) | undefined
    const hanging = idempotency.run(request, async (_, run) => {
      await new Promise<void>((resolve) => (release = resolve))
      await run.stage('a', (tx) => effect(tx, 'a', run.attempt))
    })
    const quick = idempotency.run({ ...request, key: `${request.key}-q` }, async (_, run) => {
      await run.stage('q', () => 1)
      return { body: 'quick' }
    })
    await idempotency.close({ wait: '300ms' })
    expect(body(await quick)).toBe('quick')
    await expect(idempotency.run(request, () => ({}))).rejects.toMatchObject({ code: 'closed' })
    release?.()
    await expect(hanging).rejects.toMatchObject({ code: 'closed' })
    expect(await effects()).toEqual([])
    const next = setup()
    expect(body(await next.idempotency.run(request, () => ({ body: 'next process' })))).toBe(
      'next process',
    )
  })

  test('a mismatch does not run; the first record stays', async () => {
    const { idempotency, request } = setup()
    await idempotency.run(request, () => ({ body: 'first' }))
    expect((await idempotency.run({ ...request, input: { to: 'Rome' } }, () => ({}))).kind).toBe(
      'mismatch',
    )
    expect(body(await idempotency.run(request, () => ({ body: 'x' })))).toBe('first')
  })

  test('results of every JSON kind, and large ones, come back from the store', async () => {
    const { idempotency, request } = setup()
    const value = {
      z: 1,
      a: [null, true, 'é\u0000😀', 1e-7, { __proto__: 1 }],
      big: 'x'.repeat(200_000),
    }
    let broken = true
    const go = () =>
      idempotency.run(request, async (_, run) => {
        const result = await run.stage('a', () => value as unknown as { z: number })
        if (broken) throw new Error('broken')
        return { body: result }
      })
    await expect(go()).rejects.toThrow('broken')
    broken = false
    expect(body(await go())).toBe(JSON.stringify(value))
  })
})

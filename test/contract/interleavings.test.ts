/**
 * Goal: what is recorded is never written over by somebody who did not see it, and what a stage leaves running commits
 * nothing. Method: one statement is held back, refused or let through late, while another attempt works.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createIdempotency, type PawlEvent } from '../../src/index.ts'
import { type Queries, STORES, type StoreUnderTest } from './stores.ts'
import { StoreUnavailableError } from '../../src/core/errors.ts'
import type { Store } from '../../src/core/store.ts'

type Isolation = 'read committed' | 'repeatable read' | 'serializable'
type Change = Partial<Store<Queries, Isolation>>

const once = { repeatable: false } as const
const refused = (): Error => Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

function gate(): { open: () => void; passed: Promise<void> } {
  let open = (): void => undefined
  const passed = new Promise<void>((resolve) => (open = resolve))
  return { open, passed }
}

describe.each(STORES)('%s', (_, openStore) => {
  let under: StoreUnderTest
  let keys = 0
  beforeAll(async () => {
    under = await openStore()
  })
  afterAll(async () => {
    await under.close()
  })

  const request = () => ({
    operation: 'charge',
    scope: 'u1',
    key: `key-${String(++keys)}`,
    input: { amount: 1 },
  })

  function process(change: Change = {}, lease: '250ms' | '10s' = '10s') {
    const events: PawlEvent[] = []
    const store = new Proxy(under.store, {
      get: (target, name) => {
        const value: unknown = Reflect.get(change, name) ?? Reflect.get(target, name)
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })
    const options = { store, lease, storeTimeout: '400ms' } as const
    return { ...createIdempotency({ ...options, onEvent: (event) => events.push(event) }), events }
  }

  const recordOf = async (key: string) =>
    (
      await under.sql<{ state: string; stages: string }>(
        `select state, stages::text as stages from ${under.table} where idempotency_key = $1`,
        [key],
      )
    )[0]

  test('38 · a call without an answer, and a store that cannot note it: no step follows, and no attempt sends it again', async () => {
    let down = false
    const write: Change['write'] = (hold, change) =>
      down ? Promise.reject(new StoreUnavailableError('noting')) : under.store.write(hold, change)
    const idempotency = process({ write })
    const it = request()
    const sent: number[] = []
    const attempt = () =>
      idempotency.run(it, async (_, run) => {
        const lost = () => {
          sent.push(run.attempt)
          down = true
          return Promise.reject(new Error('socket hang up'))
        }
        await run.call('first_provider', lost, once).catch(() => {
          down = false
        })
        await run.call('second_provider', () => Promise.reject(refused()), once).catch(() => 'none')
        await run.stage('note_failure', () => 'noted')
        throw new Error('no provider')
      })
    await expect(attempt()).rejects.toMatchObject({ code: 'store_unavailable' })
    expect(await recordOf(it.key)).toMatchObject({
      stages: '{"first_provider":{"kind":"call","status":"sent"}}',
    })
    expect(await attempt()).toMatchObject({ kind: 'unknown' })
    expect(sent).toEqual([1])
  })

  test('36, 37 · what a handler does to a result afterwards is not in the record', async () => {
    const idempotency = process()
    const it = request()
    const seen: number[] = []
    const attempt = () =>
      idempotency.run(it, async (_, run) => {
        const order = await run.stage('order', () => ({ total: 100 }))
        const shipping = await run.call('shipping', () => Promise.resolve({ cost: 5 }))
        order.total += shipping.cost++
        seen.push(order.total)
        await run.stage('reserved', () => null)
        const again = await run.stage('checked', () => order)
        again.total = 0
        if (run.attempt < 3) throw new Error('broken')
        return { body: order }
      })
    await expect(attempt()).rejects.toThrow('broken')
    await expect(attempt()).rejects.toThrow('broken')
    expect(await attempt()).toMatchObject({ kind: 'finished' })
    expect(seen).toEqual([105, 105, 105])
  })

  test('38 · an intent that was noted between the look and the takeover: unknown, and never an answer nobody gave', async () => {
    const it = request()
    const paused = gate()
    const isSent = gate()
    const first = process({ heartbeat: () => Promise.resolve([]) }, '250ms')
    const sent: string[] = []
    const stopped = first.run(it, async (_, run) => {
      await paused.passed
      const charge = async () => {
        sent.push('first')
        isSent.open()
        await sleep(5_000)
        return 'charged'
      }
      return { body: await run.call('charge', charge, once) }
    })
    await sleep(350)
    const takeOver: Change['takeOver'] = async (seen) => {
      paused.open()
      await isSent.passed
      await first.close({ wait: 0 })
      return await under.store.takeOver(seen)
    }
    const second = process({ takeOver }, '250ms')
    const answer = await second.run(it, async (_, run) => ({
      body: await run.call('charge', () => Promise.resolve(sent.push('second')), once),
    }))
    expect(answer).toMatchObject({ kind: 'unknown' })
    expect(sent).toEqual(['first'])
    expect(await recordOf(it.key)).toMatchObject({ state: 'unknown' })
    await expect(stopped).rejects.toMatchObject({ code: expect.any(String) as string })
  })

  test('38 · an answer that was noted between the look and the stop: resumed, not stopped for ever', async () => {
    const it = request()
    const answered = gate()
    const isSent = gate()
    const first = process({ heartbeat: () => Promise.resolve([]) }, '250ms')
    const failing = first.run(it, async (_, run) => {
      const charge = async () => {
        isSent.open()
        await answered.passed
        return { id: 'ch_1' }
      }
      await run.call('charge', charge, once)
      throw new Error('broken')
    })
    await isSent.passed
    await sleep(350)
    const stopUnknown: Change['stopUnknown'] = async (seen) => {
      answered.open()
      await expect(failing).rejects.toThrow('broken')
      return await under.store.stopUnknown(seen)
    }
    const second = process({ stopUnknown }, '250ms')
    const answer = await second.run(it, async (_, run) => ({
      body: await run.call('charge', () => Promise.reject(new Error('sent again')), once),
    }))
    expect(answer).toMatchObject({ kind: 'finished', outcome: { status: 200 } })
    expect(await recordOf(it.key)).toMatchObject({ state: 'finished' })
  })

  test('38, 43 · a note that was delayed and sent again does not undo a later one', async () => {
    const it = request()
    const late = gate()
    let delayed: Promise<boolean> | undefined
    const write: Change['write'] = (hold, change) => {
      const takesBack = change.kind === 'journal' && change.stages.size === 0
      if (!takesBack || delayed !== undefined) return under.store.write(hold, change)
      delayed = late.passed.then(() => under.store.write(hold, change))
      return new Promise(() => undefined)
    }
    const first = process({ write, heartbeat: () => Promise.resolve([]) }, '250ms')
    const sent: string[] = []
    void first
      .run(it, async (_, run) => {
        await run.call('charge', () => Promise.reject(refused()), once).catch(() => undefined)
        const hanging = async () => {
          sent.push('first')
          late.open()
          await sleep(5_000)
        }
        await run.call('charge', hanging, once)
      })
      .catch(() => undefined)
    await late.passed
    expect(await delayed).toBe(false)
    await sleep(350)
    const second = process({}, '250ms')
    const answer = await second.run(it, async (_, run) => {
      await run.call('charge', () => Promise.resolve(sent.push('second')), once)
    })
    expect(answer).toMatchObject({ kind: 'unknown' })
    expect(sent).toEqual(['first'])
    await first.close({ wait: 0 })
  })

  test('42 · a branch that Promise.all left behind commits nothing, neither with the next try nor alone', async () => {
    const idempotency = process()
    const it = request()
    const branches: Promise<unknown>[] = []
    let tries = 0
    const insert = `insert into ${under.table}_effect values ($1, $2)`
    const answer = await idempotency.run(it, async (_, run) => {
      await run.stage('audited', async (tx) => {
        const nth = ++tries
        const slow = sleep(nth === 1 ? 40 : 0).then(() =>
          tx.query(insert, [`${it.key}/audit`, nth]),
        )
        branches.push(slow.catch((error: unknown) => error))
        const raise = `do $$ begin raise exception 'deadlock' using errcode = '40P01'; end $$`
        await Promise.all([slow, nth === 1 ? tx.query(raise) : sleep(80)])
      })
      await sleep(100)
      return { body: 'ok' }
    })
    expect(answer).toMatchObject({ kind: 'finished' })
    const effects = `select attempt from ${under.table}_effect where step = $1`
    expect(await under.sql(effects, [`${it.key}/audit`])).toEqual([{ attempt: 2 }])
    expect(await branches[0]).toBeInstanceOf(Error)
  })

  test('a swallowed failure outside of a record: said so, and no transaction stays open on the connection', async () => {
    const swallow = async (tx: Queries) => {
      await tx.query('select * from no_such_table').catch(() => undefined)
    }
    const failed = under.store.transaction({ isolation: undefined }, swallow)
    await expect(failed).rejects.toMatchObject({ code: 'transaction_failed_inside' })
    const insert = `insert into ${under.table}_effect values ('after the failure', 1)`
    await under.store.transaction({ isolation: undefined }, (tx) => tx.query(insert))
    await under.sql('select 1')
    const kept = `select attempt from ${under.table}_effect where step = 'after the failure'`
    expect(await under.sql(kept)).toHaveLength(1)
  })

  test('close: who still waits for a key is told so, and no handler starts afterwards', async () => {
    const it = request()
    const ended = gate()
    const first = process()
    const working = first.run(it, async () => {
      await ended.passed
      throw new Error('broken')
    })
    await sleep(50)
    const second = process()
    let ran = false
    const waiting = second.run({ ...it, inProgress: { wait: '30s' } }, () => {
      ran = true
    })
    await sleep(50)
    await second.close({ wait: '5s' })
    ended.open()
    await expect(working).rejects.toThrow('broken')
    expect(await waiting).toMatchObject({ kind: 'in_progress' })
    expect(ran).toBe(false)
  })

  test('close: a claim that comes back after it was given up is given back', async () => {
    const it = request()
    const answered = gate()
    const claim: Change['claim'] = async (input) => {
      const reply = await under.store.claim(input)
      await answered.passed
      return reply
    }
    const first = process({ claim })
    const late = first.run(it, () => ({ body: 'late' }))
    await sleep(50)
    await first.close({ wait: 0 })
    answered.open()
    await expect(late).rejects.toMatchObject({ code: 'closed' })
    expect(await process().run(it, () => ({ body: 'next' }))).toMatchObject({ replayed: false })
  })

  test('two changes of one record in one statement: one is made, and only its maker is told so', async () => {
    const claimed = ['a', 'b'].map((name) => ({
      id: `${under.table}_${name}`,
      owner: 'me',
      attempt: 1,
    }))
    for (const { id, owner } of claimed) {
      const about = { scope: 's', operation: 'o', key: id, fingerprint: 'v1:x' }
      const times = { method: undefined, path: undefined, leaseMs: 10_000, retentionMs: 60_000 }
      await under.store.claim({ id, owner, ...about, ...times })
    }
    const [other, hold] = claimed as [(typeof claimed)[0], (typeof claimed)[0]]
    const sent = new Map([['charge', { kind: 'call', status: 'sent' } as const]])
    const journal = {
      kind: 'journal',
      from: 'started',
      revision: 0,
      stages: sent,
      leaseMs: 10_000,
    } as const
    const [, noted, released] = await Promise.all([
      under.store.write(other, journal),
      under.store.write(hold, journal),
      under.store.write(hold, { kind: 'release' }),
    ])
    expect([noted, released].filter(Boolean)).toHaveLength(1)
    const [row] = await under.sql<{ owner: string | null; stages: string }>(
      `select owner, stages::text as stages from ${under.table} where id = $1`,
      [hold.id],
    )
    expect(row?.owner).toBe(released ? null : 'me')
    expect(row?.stages.includes('charge')).toBe(noted)
  })

  test('a row that somebody edited by hand fails the claims of its own key alone', async () => {
    const spoiled = request()
    await process().run(spoiled, () => ({ body: 'ok' }))
    await under.sql(`update ${under.table} set state = 'odd' where idempotency_key = $1`, [
      spoiled.key,
    ])
    const idempotency = process()
    const answers = await Promise.allSettled(
      [request(), request(), spoiled, request()].map((it) =>
        idempotency.run(it, () => ({ body: 'ok' })),
      ),
    )
    expect(answers.map(({ status }) => status)).toEqual([
      'fulfilled',
      'fulfilled',
      'rejected',
      'fulfilled',
    ])
    expect(answers[2]).toMatchObject({ reason: { code: 'invariant_violated' } })
  })
})

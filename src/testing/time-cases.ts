/** Leases and retention: the store's own clock, and nobody else's. */
import assert from 'node:assert/strict'
import { systemRuntime } from '../core/runtime.ts'
import {
  body,
  type Change,
  claimed,
  gate,
  matches,
  SHORT,
  sleep,
  type StoreCase,
  UNRENEWED,
} from './store-kit.ts'

const HOUR_MS = 3_600_000

export const TIME_CASES: readonly StoreCase[] = [
  {
    title: '32 · reuse after the retention is a new execution, with another downstream key',
    run: async (kit) => {
      const { idempotency, request } = kit.process()
      const downstream: string[] = []
      const go = (options: { readonly retention?: '1s' } = {}) =>
        idempotency.run({ ...request, ...options }, async (_, run) => {
          await run.call('charged', ({ idempotencyKey }) => void downstream.push(idempotencyKey))
          return { body: `charge ${String(downstream.length)}` }
        })
      await kit.expired(go, request)
      assert.equal(body(await go()), 'charge 2')
      assert.equal(new Set(downstream).size, 2)
      matches(await go(), { replayed: true })
    },
  },
  {
    title: '32 · an outcome is replayed until its retention is over',
    run: async (kit) => {
      const { idempotency, request } = kit.process()
      const go = () => idempotency.run({ ...request, retention: '10s' }, () => ({ body: 'kept' }))
      await go()
      await kit.lapse()
      matches(await go(), { replayed: true })
    },
  },
  {
    title: '33, 34 · expired outcomes go, in batches; a running or unknown record never does',
    run: async (kit) => {
      const { idempotency } = kit.process()
      const first = kit.request()
      const second = kit.request()
      const running = kit.request()
      const unknown = kit.request()
      const lost = () => Promise.reject(new Error('?'))
      await kit.expired(
        async (options) => {
          for (const asked of [first, second])
            await idempotency.run({ ...asked, ...options }, () => ({ body: 'x' }))
          const broken = idempotency.run({ ...running, ...options }, async (_, run) => {
            await run.call('a', () => 1)
            throw new Error('later')
          })
          await assert.rejects(broken, /later/)
          const stopped = idempotency.run({ ...unknown, ...options }, (_, run) =>
            run.call('a', lost, { repeatable: false }),
          )
          await assert.rejects(stopped, { code: 'outcome_unknown' })
        },
        first,
        second,
        running,
        unknown,
      )
      assert((await kit.store.reap(1, 0)) <= 1)
      while ((await kit.store.reap(100, 0)) > 0);
      assert.deepEqual([await kit.record(first), await kit.record(second)], [undefined, undefined])
      matches(await kit.record(running), { state: 'running', recoveryPoint: 'a' })
      matches(await kit.record(unknown), { state: 'unknown' })
    },
  },
  {
    title:
      '33 · what was reaped is forgotten: the key is new, and whoever held it before is fenced',
    run: async (kit) => {
      const { idempotency, request } = kit.process()
      let owner = ''
      const claim: Change['claim'] = (input) => {
        owner = input.owner
        return kit.store.claim(input)
      }
      const before = kit.process({ claim })
      await kit.expired(
        (options) => before.idempotency.run({ ...request, ...options }, () => ({ body: '1' })),
        request,
      )
      while ((await kit.store.reap(100, 0)) > 0);
      const inside = gate()
      const ended = gate()
      const again = idempotency.run(request, async (_, run) => {
        inside.open()
        await ended.passed
        return { body: `attempt ${String(run.attempt)}` }
      })
      await inside.passed
      const { id = '', attempt = 0 } = (await kit.record(request)) ?? {}
      assert.equal(await kit.store.write({ id, owner, attempt }, { kind: 'release' }), false)
      ended.open()
      assert.equal(body(await again), 'attempt 1')
    },
  },
  {
    title: '33 · an outcome that has not expired is never reaped, nor one whose grace is not over',
    run: async (kit) => {
      const { idempotency, request } = kit.process()
      await idempotency.run(request, () => ({ body: 'kept' }))
      while ((await kit.store.reap(100, 0)) > 0);
      matches(await idempotency.run(request, () => ({})), { replayed: true })
      assert.equal(await kit.store.reap(100, 24 * HOUR_MS), 0)
    },
  },
  {
    title: '28 · a heartbeat keeps a slow handler’s lease',
    run: async (kit) => {
      const { idempotency, request } = kit.process({}, SHORT)
      const answer = await idempotency.run(request, async () => {
        await sleep(700)
        const rival = await idempotency.run(request, () => ({ body: 'rival' }))
        return { body: rival.kind }
      })
      assert.equal(body(answer), 'in_progress')
    },
  },
  {
    title: '41 · whose lease has lapsed is told by its next heartbeat that another has taken over',
    run: async (kit) => {
      let paused = true
      const heartbeat: Change['heartbeat'] = async (holds, leaseMs) =>
        paused ? [] : await kit.store.heartbeat(holds, leaseMs)
      const { idempotency, request } = kit.process({ heartbeat }, SHORT)
      const slow = idempotency.run(request, async (_, run) => {
        await kit.lapse()
        await kit.steal(request)
        paused = false
        await new Promise((resolve) => run.signal.addEventListener('abort', resolve))
        return { body: 'too late' }
      })
      await assert.rejects(slow, { code: 'lease_lost' })
    },
  },
  {
    title:
      '41 · a heartbeat that crosses a finish reports no loss; one of a record that was taken over, or is gone, does',
    run: async (kit) => {
      const { idempotency, request } = kit.process()
      let owner = ''
      const claim: Change['claim'] = (input) => {
        owner = input.owner
        return kit.store.claim(input)
      }
      const told = kit.process({ claim })
      matches(await told.idempotency.run(request, () => ({ body: 'ok' })), { stored: true })
      const { id = '' } = (await kit.record(request)) ?? {}
      const hold = { id, owner, attempt: 1 }
      assert.deepEqual(await kit.store.heartbeat([hold], 10_000), [])
      const stale = { ...hold, attempt: 9 }
      const gone = { ...hold, id: 'ikey_gone' }
      const lost = await kit.store.heartbeat([stale, gone, hold], 10_000)
      assert.deepEqual(new Set(lost.map((one) => JSON.stringify(one))), asSet([stale, gone]))
      await idempotency.close()
    },
  },
  {
    title: '28 · one heartbeat renews every lease of a process',
    run: async (kit) => {
      const { store } = kit
      const keys = Array.from({ length: 30 }, () => kit.request().key)
      const holds = await Promise.all(keys.map((key) => claimed(store, `ikey_hb_${key}`, 'me')))
      assert.deepEqual(await store.heartbeat(holds, 120_000), [])
      const records = await Promise.all(holds.map(({ id }) => store.reread(id)))
      assert(records.every((record) => (record?.leaseLeftMs ?? 0) > 60_000))
      assert.deepEqual(await store.heartbeat([], 120_000), [])
    },
  },
  {
    title:
      '35 · a process whose clock is an hour off, or jumps, takes no lease over before its time',
    run: async (kit) => {
      const asked = kit.request()
      const ended = gate()
      const inside = gate()
      const working = kit.process().idempotency.run(asked, async () => {
        inside.open()
        await ended.passed
        return { body: 'done' }
      })
      await inside.passed
      for (const offset of [HOUR_MS, -HOUR_MS]) {
        const runtime = { ...systemRuntime, now: () => systemRuntime.now() + offset }
        const rival = kit.process({}, { runtime })
        matches(await rival.idempotency.run(asked, () => ({ body: 'rival' })), {
          kind: 'in_progress',
        })
      }
      let jumps = 0
      let ran = false
      const now = (): number => systemRuntime.now() + jumps++ * HOUR_MS
      const rival = kit.process({}, { runtime: { ...systemRuntime, now } })
      const asking = rival.idempotency.run(asked, () => {
        ran = true
      })
      // A process that believes that it has waited for hours may give up; it may not begin.
      await asking.catch((error: unknown) => matches(error, { code: 'store_unavailable' }))
      assert.equal(ran, false)
      ended.open()
      assert.equal(body(await working), 'done')
    },
  },
  {
    title: '43 · two changes of one record at once: whoever is told that it was made finds it made',
    run: async (kit) => {
      const { store } = kit
      const { key } = kit.request()
      const other = await claimed(store, `ikey_other_${key}`, 'me')
      const hold = await claimed(store, `ikey_hold_${key}`, 'me')
      const stages = new Map([['charge', { kind: 'call', status: 'sent' } as const]])
      const journal = {
        kind: 'journal',
        from: 'started',
        revision: 0,
        stages,
        leaseMs: 10_000,
      } as const
      const [, noted, released] = await Promise.all([
        store.write(other, journal),
        store.write(hold, journal),
        store.write(hold, { kind: 'release' }),
      ])
      assert(noted || released)
      const record = await store.reread(hold.id)
      assert.equal(record?.owner, released ? undefined : 'me')
      assert.equal(record?.stages.has('charge'), noted)
    },
  },
  {
    title: '36 · a release lets the next attempt go on at once',
    run: async (kit) => {
      const { idempotency, request } = kit.process(UNRENEWED)
      const broken = idempotency.run(request, () => Promise.reject(new Error('broken')))
      await assert.rejects(broken, /broken/)
      const next = await idempotency.run(request, (_, run) => ({ body: String(run.attempt) }))
      assert.equal(body(next), '2')
    },
  },
]

function asSet(holds: readonly object[]): ReadonlySet<string> {
  return new Set(holds.map((hold) => JSON.stringify(hold)))
}

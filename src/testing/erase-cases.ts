/** What is forgotten, and what of it a retry is still told: tombstones, a purged scope, one record's deletion. */
import assert from 'node:assert/strict'
import { forget, purge } from '../core/forget.ts'
import { idOf } from '../core/identity.ts'
import { ERASED, FINISHED, STARTED } from '../core/record.ts'
import {
  type Asked,
  body,
  claimed,
  givenBack,
  matches,
  SHORT,
  type StoreCase,
  type StoreKit,
  UNRENEWED,
} from './store-kit.ts'

const LONG_MS = 60_000
const OUTCOME = {
  status: 201,
  headers: [['location', '/secret']],
  body: Buffer.from('secret'),
} as const
const FINISH = {
  kind: 'finish',
  from: STARTED,
  revision: 0,
  outcome: OUTCOME,
  retentionMs: LONG_MS,
} as const

/** Reaps until there is no more. */
async function reapAll(kit: StoreKit, tombstoneMs?: number): Promise<void> {
  while ((await kit.store.reap(100, 0, tombstoneMs)) > 0);
}

/** A request whose outcome has expired. */
async function expired(kit: StoreKit, asked: Asked): Promise<void> {
  const { idempotency } = kit.process()
  await kit.expired(
    (options) => idempotency.run({ ...asked, ...options }, () => ({ status: 201, body: 'secret' })),
    asked,
  )
}

/** Nothing but the id is left, and that it was done. */
async function assertErased(kit: StoreKit, id: string, status = 201): Promise<void> {
  const record = await kit.store.find(id)
  matches(record, {
    ...{ id, state: 'finished', recoveryPoint: FINISHED, fingerprint: ERASED },
    ...{ scope: '', operation: '', key: '', task: undefined, version: undefined },
    ...{ owner: undefined, stages: new Map(), expired: false, leaseLeftMs: 0 },
    outcome: { status, headers: [], body: undefined },
  })
}

/** A scope that nobody else has, and its purge. */
function scopeOf(kit: StoreKit) {
  const scope = `Scope ${kit.request().key}`
  const { idempotency, events } = kit.process()
  let ids = 0
  return {
    scope,
    events,
    claimed: (change: Parameters<typeof claimed>[3] = {}) =>
      claimed(kit.store, `ikey_${scope.replaceAll(' ', '_')}_${String(++ids)}`, 'me', {
        scope,
        ...change,
      }),
    purge: (batch = 1_000) => purge(idempotency.engine, scope, { tombstones: '1h', batch }),
  }
}

const TOMBSTONE_CASES: readonly StoreCase[] = [
  {
    title: '32 · of what was reaped a tombstone is left: no retry is executed, whatever it sends',
    needs: 'erase',
    run: async (kit) => {
      const asked = kit.request()
      await expired(kit, asked)
      await reapAll(kit, LONG_MS)
      await assertErased(kit, idOf(asked))
      const { idempotency } = kit.process()
      for (const to of ['Oslo', 'Rome']) {
        let ran = false
        const again = await idempotency.run({ ...asked, input: { to } }, () => {
          ran = true
        })
        matches(again, { kind: 'finished', replayed: true })
        assert(again.kind === 'finished')
        matches(again.outcome, { status: 201, headers: [], body: undefined, erased: true })
        assert.equal(ran, false)
      }
    },
  },
  {
    title: '32 · a tombstone stands until its time is over, and then is reaped: the key is new',
    needs: 'erase',
    run: async (kit) => {
      const asked = kit.request()
      await expired(kit, asked)
      await reapAll(kit, tombstoneMs(kit))
      await reapAll(kit, tombstoneMs(kit))
      await assertErased(kit, idOf(asked))
      await lapsed(kit, asked)
      assert.equal((await kit.record(asked))?.expired, true)
      await reapAll(kit, tombstoneMs(kit))
      assert.equal(await kit.record(asked), undefined)
    },
  },
  {
    title: '32 · an expired tombstone begins anew as what it is asked for, with its own names',
    needs: 'erase',
    run: async (kit) => {
      const asked = kit.request()
      await expired(kit, asked)
      await reapAll(kit, tombstoneMs(kit))
      await lapsed(kit, asked)
      const { idempotency } = kit.process()
      const again = { ...asked, input: { to: 'Rome' } }
      assert.equal(body(await idempotency.run(again, (_, run) => ({ body: run.key }))), asked.key)
      const { scope, operation, key } = asked
      matches(await kit.store.find(idOf(asked)), { scope, operation, key, attempt: 2 })
      matches(await idempotency.run(asked, () => ({})), { kind: 'mismatch' })
    },
  },
  {
    title: '34 · reaping to tombstones goes in batches, and leaves what is not finished',
    needs: 'erase',
    run: async (kit) => {
      const { claimed } = scopeOf(kit)
      const running = await claimed({ retentionMs: 1_000 })
      const done = [kit.request(), kit.request(), kit.request()]
      for (const asked of done) await expired(kit, asked)
      assert((await kit.store.reap(2, 0, LONG_MS)) <= 2)
      await reapAll(kit, LONG_MS)
      for (const asked of done) await assertErased(kit, idOf(asked))
      matches(await kit.store.find(running.id), { state: 'running', owner: 'me' })
    },
  },
]

const PURGE_CASES: readonly StoreCase[] = [
  {
    title:
      'a purge erases all of a scope, in batches, and nothing of another that is nearly the same',
    needs: 'erase',
    run: async (kit) => {
      const { scope, claimed, purge, events } = scopeOf(kit)
      const about = { path: '/secret', method: 'POST', fingerprint: 'v1:secret' }
      const task = { version: '1', input: '"secret"', principal: 'secret', dueMs: LONG_MS }
      const done = [await claimed(about), await claimed({ ...about, task }), await claimed(about)]
      const others = [scope.toLowerCase(), `${scope} `, ` ${scope}`, `${scope}x`]
      const kept = []
      for (const other of others) kept.push([await claimed({ scope: other }), other] as const)
      for (const hold of [...done, ...kept.map(([hold]) => hold)])
        assert.equal(await kit.store.write(hold, FINISH), true)
      assert.deepEqual(await purge(2), { erased: 3, left: 0 })
      for (const { id } of done) await assertErased(kit, id)
      for (const [{ id }, other] of kept) matches(await kit.store.find(id), { scope: other })
      matches(events.at(-1), { type: 'purged', erased: 3, left: 0 })
      assert.deepEqual(await purge(), { erased: 0, left: 0 })
    },
  },
  {
    title: 'a purge leaves what somebody works on, and says so; the next one finds it done',
    needs: 'erase',
    run: async (kit) => {
      const { claimed, purge } = scopeOf(kit)
      const hold = await claimed()
      assert.deepEqual(await purge(), { erased: 0, left: 1 })
      assert.equal(await kit.store.write(hold, FINISH), true)
      assert.deepEqual(await purge(), { erased: 1, left: 0 })
      await assertErased(kit, hold.id)
    },
  },
  {
    title: 'a purge leaves a record that a commit holds, without waiting for it',
    needs: 'effects',
    run: async (kit) => {
      if (kit.store.erase === undefined) return
      const { scope, claimed } = scopeOf(kit)
      const hold = await claimed({ leaseMs: 200 })
      const purged: unknown[] = []
      const fenced = async (): Promise<void> => {
        await kit.lapse()
        const asked = { scope, tombstoneMs: LONG_MS, after: '', limit: 10_000 }
        // One writer at a time: there it waits for the commit, and is not waited for.
        const erasing = kit.store.erase?.(asked).then(({ ids, left }) => purged.push(ids, left))
        await Promise.race([erasing, kit.pass(100)])
      }
      await kit.store.commit(hold, { isolation: undefined, fenced }, () =>
        Promise.resolve({ value: undefined, write: FINISH }),
      )
      if (purged.length > 0) assert.deepEqual(purged, [[], 1])
    },
  },
  {
    title:
      'a purge erases what lapsed, was given back, is unknown or has failed: none of it is executed',
    needs: 'erase',
    run: async (kit) => {
      const { claimed, purge } = scopeOf(kit)
      const lapsing = await claimed({ leaseMs: 200 })
      const released = await claimed()
      await givenBack(kit, released)
      const unknown = await claimed()
      const failed = await claimed()
      const stages = new Map([['secret', { kind: 'call', status: 'sent' } as const]])
      const seen = { from: STARTED, revision: 0, stages } as const
      assert.equal(await kit.store.write(unknown, { kind: 'unknown', ...seen }), true)
      assert.equal(await kit.store.stop(await givenBack(kit, failed), 'failed'), true)
      await kit.lapse()
      assert.deepEqual(await purge(), { erased: 4, left: 0 })
      for (const { id } of [lapsing, released, unknown, failed]) await assertErased(kit, id, 200)
      for (const hold of [lapsing, released, unknown])
        assert.equal(await kit.store.write(hold, { ...FINISH, revision: 1 }), false)
      assert.equal(await kit.store.takeOver({ ...lapsing, revision: 1, leaseMs: 1 }), undefined)
    },
  },
  {
    title:
      '41 · whoever held a record that was erased meanwhile is fenced, and his rows are rolled back',
    needs: 'effects',
    run: async (kit) => {
      if (kit.store.erase === undefined) return
      const { scope, purge } = scopeOf(kit)
      const { idempotency, request, effect, effects } = kit.process(UNRENEWED, SHORT)
      const asked = { ...request, scope }
      const slow = idempotency.run(asked, async (_, run) => {
        await kit.lapse()
        assert.deepEqual(await purge(), { erased: 1, left: 0 })
        return await run.finish(async (tx) => {
          await effect(tx, 'late')
          return { body: 'late' }
        })
      })
      await assert.rejects(slow, { code: 'lease_lost' })
      assert.deepEqual(await effects(), [])
      matches(await idempotency.run(asked, () => ({})), { kind: 'finished', replayed: true })
    },
  },
  {
    title: 'what is to be erased is told before anything is, and where that fails nothing is',
    needs: 'erase',
    run: async (kit) => {
      const { scope, claimed } = scopeOf(kit)
      const hold = await claimed()
      assert.equal(await kit.store.write(hold, FINISH), true)
      const told: string[] = []
      const found = (ids: readonly string[]): Promise<void> => {
        told.push(...ids)
        return Promise.reject(new Error('not now'))
      }
      const asked = { scope, tombstoneMs: LONG_MS, after: '', limit: 10_000, found }
      await assert.rejects(kit.store.erase?.(asked) ?? Promise.resolve(), /not now/)
      assert.deepEqual(told, [hold.id])
      matches(await kit.store.find(hold.id), { scope, fingerprint: 'v1:x' })
    },
  },
]

const FORGET_CASES: readonly StoreCase[] = [
  {
    title: 'what is forgotten is executed anew, by another downstream key',
    run: async (kit) => {
      const { idempotency, request, events } = kit.process()
      const keys: string[] = []
      const go = () =>
        idempotency.run(request, async (_, run) => {
          await run.call('charged', ({ idempotencyKey }) => void keys.push(idempotencyKey))
          return { body: String(keys.length) }
        })
      await go()
      matches(await go(), { replayed: true })
      assert.equal(await forget(idempotency.engine, idOf(request), false), 'done')
      assert.equal(await kit.record(request), undefined)
      matches(events.at(-1), { type: 'forgotten', id: idOf(request), attempt: 1 })
      assert.equal(body(await go()), '2')
      assert.equal(new Set(keys).size, 2)
    },
  },
  {
    title: 'what has moved on, or is worked on, is not forgotten',
    run: async (kit) => {
      const { store } = kit
      const { key } = kit.request()
      const hold = await claimed(store, `ikey_forget_${key}`, 'me')
      const state = 'running' as const
      const at = { id: hold.id, attempt: 1, revision: 0, state }
      assert.equal(await store.forget(at), false)
      const seen = await givenBack(kit, hold)
      for (const stale of [{ attempt: 2 }, { revision: 7 }, { state: 'failed' as const }])
        assert.equal(await store.forget({ ...seen, state, ...stale }), false)
      assert.equal(await store.forget({ ...seen, state }), true)
      assert.equal(await store.forget({ ...seen, state }), false)
      assert.equal(await store.find(hold.id), undefined)
      const next = await claimed(store, hold.id, 'next')
      assert.equal(await store.write(hold, { kind: 'release' }), false)
      assert.equal(await store.write(next, { kind: 'release' }), true)
    },
  },
  {
    title:
      'an operator who forgets is refused what is worked on, and, unless he insists, what has begun',
    run: async (kit) => {
      const { idempotency, request } = kit.process()
      const id = idOf(request)
      const forgotten = (evenIfStarted: boolean) => forget(idempotency.engine, id, evenIfStarted)
      await assert.rejects(forgotten(false), { code: 'record_not_found' })
      const broken = idempotency.run(request, async (_, run) => {
        await run.call('charged', () => 1)
        const forgetting = forgotten(true)
        await assert.rejects(forgetting, { code: 'record_state', message: /lease lapses/ })
        throw new Error('later')
      })
      await assert.rejects(broken, /later/)
      await assert.rejects(forgotten(false), { code: 'record_state', message: /evenIfStarted/ })
      assert.equal(await forgotten(true), 'done')
      const anew = await idempotency.run(request, (_, run) => ({ body: run.recoveryPoint }))
      assert.equal(body(anew), STARTED)
    },
  },
]

/** A tombstone that is not waited for long where the suite has to wait. */
function tombstoneMs({ under }: StoreKit): number {
  return under.expire === undefined && under.advance === undefined ? 3_000 : LONG_MS
}

/** Lets a tombstone's time go by. */
async function lapsed(kit: StoreKit, asked: Asked): Promise<void> {
  if (kit.under.expire === undefined) await kit.pass(tombstoneMs(kit) + 50)
  else await kit.under.expire(idOf(asked))
}

export const ERASE_CASES: readonly StoreCase[] = [
  ...TOMBSTONE_CASES,
  ...PURGE_CASES,
  ...FORGET_CASES,
]

/** Stopping a record, putting it back to work, and finding it: what a completer and an operator do with it. */
import assert from 'node:assert/strict'
import { STARTED, type StoppedState } from '../core/record.ts'
import type { ClaimInput, Seen } from '../core/store.ts'
import { claimed, givenBack, matches, type StoreCase, type StoreKit } from './store-kit.ts'

const STOPPED: readonly StoppedState[] = ['unknown', 'failed']

/** A record that nobody works on, as it is seen. */
async function released(kit: StoreKit, change: Partial<ClaimInput> = {}): Promise<Seen> {
  const hold = await claimed(kit.store, `ikey_stop_${kit.request().key}`, 'me', change)
  return await givenBack(kit, hold)
}

const stopping = (state: StoppedState): readonly StoreCase[] => [
  {
    title: `41 · a lapsed record is stopped as ${state}, once, by whoever saw it as it is`,
    run: async (kit) => {
      const { store } = kit
      const seen = await released(kit)
      assert.equal(await store.stop({ ...seen, attempt: 2 }, state), false)
      assert.equal(await store.stop({ ...seen, revision: seen.revision + 1 }, state), false)
      assert.equal(await store.stop({ ...seen, id: 'ikey_gone' }, state), false)
      matches(await store.find(seen.id), { state: 'running', revision: seen.revision })
      assert.equal(await store.stop(seen, state), true)
      const now = { ...seen, revision: seen.revision + 1 }
      matches(await store.find(seen.id), { ...now, state, owner: undefined })
      assert.equal(await store.stop(now, state), false)
    },
  },
  {
    title: `41 · a record whose lease is alive is not stopped as ${state}`,
    run: async (kit) => {
      const hold = await claimed(kit.store, `ikey_alive_${state}_${kit.request().key}`, 'me')
      assert.equal(await kit.store.stop({ id: hold.id, attempt: 1, revision: 0 }, state), false)
      matches(await kit.store.find(hold.id), { state: 'running', owner: 'me' })
    },
  },
]

const stopped = (state: StoppedState): readonly StoreCase[] => [
  {
    title: `38 · a claim finds a record that was stopped as ${state}, and nobody takes it over or changes it`,
    run: async (kit) => {
      const { store } = kit
      const seen = await released(kit)
      assert.equal(await store.stop(seen, state), true)
      const about = { scope: 's', operation: 'o', key: seen.id, fingerprint: 'v1:x' }
      const request = { method: undefined, path: undefined, task: undefined }
      const times = { leaseMs: 10_000, retentionMs: 60_000 }
      const claim = { id: seen.id, owner: 'other', ...about, ...request, ...times }
      const reply = await store.claim(claim)
      assert(reply.kind === 'found')
      matches(reply.record, { state, owner: undefined, attempt: 1, outcome: undefined })
      const now = { ...seen, revision: seen.revision + 1 }
      const taking = { ...now, owner: 'other', leaseMs: 10_000 }
      assert.equal(await store.takeOver(taking), undefined)
      assert.equal(await store.write({ ...seen, owner: 'me' }, { kind: 'release' }), false)
    },
  },
  {
    title: `38 · a record that was stopped as ${state} goes on with what was decided, for whoever claims it`,
    run: async (kit) => {
      const { store } = kit
      const seen = await released(kit)
      assert.equal(await store.stop(seen, state), true)
      const stages = new Map([['charged', { kind: 'call', status: 'done', result: 7 } as const]])
      const { id, attempt, revision } = { ...seen, revision: seen.revision + 1 }
      const now = { id, attempt, revision, state, recoveryPoint: 'charged', stages }
      const other = state === 'failed' ? 'unknown' : 'failed'
      assert.equal(await store.restart({ ...now, state: other }), false)
      assert.equal(await store.restart({ ...now, revision: seen.revision }), false)
      assert.equal(await store.restart({ ...now, attempt: 2 }), false)
      assert.equal(await store.restart({ ...now, id: 'ikey_gone' }), false)
      matches(await store.find(seen.id), { state, recoveryPoint: STARTED, revision })
      assert.equal(await store.restart(now), true)
      assert.equal(await store.restart(now), false)
      const back = { state: 'running', owner: undefined, leaseLeftMs: 0, revision: revision + 1 }
      matches(await store.find(seen.id), back)
      const taking = { id, attempt, revision: revision + 1, owner: 'next', leaseMs: 10_000 }
      const taken = await store.takeOver(taking)
      matches(taken, { owner: 'next', attempt: 2, recoveryPoint: 'charged', stages })
    },
  },
  {
    title: `34 · a record that was stopped as ${state} is never reaped`,
    run: async (kit) => {
      const { store } = kit
      const seen = await released(kit, { retentionMs: 50 })
      assert.equal(await store.stop(seen, state), true)
      await kit.pass(100)
      while ((await store.reap(100, 0)) > 0);
      matches(await store.find(seen.id), { state, expired: true })
    },
  },
]

export const STOPPING_CASES: readonly StoreCase[] = STOPPED.flatMap((state) => [
  ...stopping(state),
  ...stopped(state),
])

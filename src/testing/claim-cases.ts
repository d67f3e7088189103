/** Step 1: who works on a record, and what everybody else is answered. */
import assert from 'node:assert/strict'
import { STARTED } from '../core/record.ts'
import { AbortedError } from '../core/store.ts'
import { StoreUnavailableError } from '../core/errors.ts'
import {
  body,
  type Change,
  claimed,
  matches,
  SHORT,
  type StoreCase,
  UNRENEWED,
} from './store-kit.ts'

export const CLAIM_CASES: readonly StoreCase[] = [
  {
    title: '11, 12 · the first request runs, the retry replays the same bytes and runs nothing',
    run: async (kit) => {
      const { idempotency, request } = kit.process()
      let runs = 0
      const headers = { location: '/1', 'set-cookie': 's=1' }
      const go = () =>
        idempotency.run(request, ({ to }) => ({ status: 201, headers, body: { to, run: ++runs } }))
      const first = await go()
      const second = await go()
      matches(first, { kind: 'finished', replayed: false, stored: true })
      matches(second, { kind: 'finished', replayed: true })
      assert.equal(body(second), '{"to":"Oslo","run":1}')
      assert.equal(body(second), body(first))
      assert.equal(second.kind === 'finished' && second.outcome.status, 201)
      assert(!JSON.stringify(second).includes('set-cookie'))
    },
  },
  {
    title: 'migrate() again finds it done, and what is recorded stays',
    run: async (kit) => {
      const { idempotency, request } = kit.process()
      await idempotency.run(request, () => ({ body: 'first' }))
      await kit.store.migrate()
      assert.equal(body(await idempotency.run(request, () => ({ body: 'again' }))), 'first')
      const problems = await kit.store.check()
      assert.deepEqual(
        problems.filter(({ code }) => code === 'not_migrated'),
        [],
      )
    },
  },
  {
    title: '14 · a returned 5xx is not stored; with onError "store" it is',
    run: async (kit) => {
      const { idempotency, request } = kit.process()
      let runs = 0
      const go = (onError: 'resume' | 'store', key: string) =>
        idempotency.run({ ...request, key: `${request.key}-${key}`, onError }, () => ({
          status: 503,
          body: String(++runs),
        }))
      matches(await go('resume', 'a'), { stored: false, replayed: false })
      assert.equal(body(await go('resume', 'a')), '2')
      matches(await go('store', 'b'), { stored: true })
      assert.equal(body(await go('store', 'b')), '3')
    },
  },
  {
    title: '14 · a thrown error with onError "store" is a stored 500',
    run: async (kit) => {
      const { idempotency, request } = kit.process()
      const fail = () =>
        idempotency.run({ ...request, onError: 'store' }, () => {
          throw new Error('secret')
        })
      const first = await fail()
      matches(first, { kind: 'finished', replayed: false })
      const again = await fail()
      matches(again, { kind: 'finished', replayed: true })
      assert.equal(again.kind === 'finished' && again.outcome.status, 500)
      assert(!body(again).includes('secret'))
    },
  },
  {
    title: '19 · another payload under one key does not run; the first record stays',
    run: async (kit) => {
      const { idempotency, request } = kit.process()
      await idempotency.run(request, () => ({ body: 'first' }))
      const other = await idempotency.run({ ...request, input: { to: 'Rome' } }, () => ({}))
      assert.equal(other.kind, 'mismatch')
      assert.equal(body(await idempotency.run(request, () => ({ body: 'x' }))), 'first')
    },
  },
  {
    title: '28 · simultaneous duplicates: one runs, everybody else waits and replays, or is told',
    run: async (kit) => {
      const { idempotency, request } = kit.process()
      let runs = 0
      const go = (wait: 0 | '5s') =>
        idempotency.run({ ...request, inProgress: { wait } }, () => ({ body: `run ${++runs}` }))
      const answers = await Promise.all(
        Array.from({ length: 40 }, (_, at) => go(at % 2 === 0 ? '5s' : 0)),
      )
      const waited = answers.filter((_, at) => at % 2 === 0).map(body)
      assert.deepEqual(new Set(waited), new Set(['run 1']))
      const kinds = answers.map(({ kind }) => kind)
      assert(kinds.every((kind) => kind === 'finished' || kind === 'in_progress'))
      assert.equal(runs, 1)
    },
  },
  {
    title:
      '28 · of forty claims of one record, asked for by forty processes at once, one is the first',
    run: async (kit) => {
      const { store } = kit
      const { key } = kit.request()
      const about = { scope: 's', operation: 'o', key, fingerprint: 'v1:x' }
      const times = { leaseMs: 10_000, retentionMs: 60_000 }
      const request = { method: undefined, path: undefined, task: undefined }
      const id = `ikey_race_${key}`
      const owners = Array.from({ length: 40 }, (_, at) => `owner-${String(at)}`)
      const replies = await Promise.all(
        owners.map((owner) => store.claim({ id, owner, ...about, ...request, ...times })),
      )
      assert.equal(replies.filter(({ kind }) => kind === 'inserted').length, 1)
      const winner = owners[replies.findIndex(({ kind }) => kind === 'inserted')]
      matches(await store.reread(id), { owner: winner, attempt: 1, recoveryPoint: STARTED })
    },
  },
  {
    title: '35 · a lease that is alive cannot be taken over; a lapsed one can, once',
    run: async (kit) => {
      const asked = kit.request()
      const idle = kit.process(UNRENEWED, SHORT)
      const hanging = idle.idempotency.run(asked, async (_, run) => {
        const { id, attempt } = run
        const seen = { id, attempt, revision: 0, leaseMs: 10_000 }
        assert.equal(await kit.store.takeOver({ ...seen, owner: 'too early' }), undefined)
        await kit.lapse()
        const both = ['a', 'b'].map((owner) => kit.store.takeOver({ ...seen, owner }))
        const taken = (await Promise.all(both)).filter((one) => one !== undefined)
        assert.deepEqual(
          taken.map((one) => one.attempt),
          [2],
        )
        throw new Error('late')
      })
      await assert.rejects(hanging)
    },
  },
  {
    title: '41 · whoever is not the owner, or not of this attempt or revision, changes nothing',
    run: async (kit) => {
      const { store } = kit
      const { key } = kit.request()
      const hold = await claimed(store, `ikey_cas_${key}`, 'me')
      const stages = new Map([['a', { kind: 'call', status: 'done' } as const]])
      const change = {
        kind: 'journal',
        from: STARTED,
        revision: 0,
        stages,
        leaseMs: 9_000,
      } as const
      assert.equal(await store.write({ ...hold, owner: 'another' }, change), false)
      assert.equal(await store.write({ ...hold, attempt: 2 }, change), false)
      assert.equal(await store.write(hold, { ...change, revision: 1 }), false)
      assert.equal(await store.write(hold, { ...change, from: 'elsewhere' }), false)
      assert.equal(await store.write({ ...hold, id: 'ikey_gone' }, change), false)
      assert.equal((await store.reread(hold.id))?.stages.size, 0)
      assert.equal(await store.write(hold, change), true)
      assert.equal(await store.write(hold, change), false)
      matches(await store.reread(hold.id), { stages, revision: 1 })
      assert.equal(await store.write({ ...hold, owner: 'another' }, { kind: 'release' }), false)
      assert.equal(await store.write(hold, { kind: 'release' }), true)
      matches(await store.reread(hold.id), { owner: undefined, leaseLeftMs: 0 })
    },
  },
  {
    title: '44 · no answer to a claim: the handler does not run',
    run: async (kit) => {
      const claim = () => Promise.reject(new StoreUnavailableError('claiming'))
      const { idempotency, request } = kit.process({ claim })
      let ran = false
      const go = idempotency.run(request, () => {
        ran = true
      })
      await assert.rejects(go, { code: 'store_unavailable', retryable: true })
      assert.equal(ran, false)
    },
  },
  {
    title: 'an abort in autocommit is asked again',
    run: async (kit) => {
      let aborted = 0
      const claim: Change['claim'] = async (input) => {
        if (aborted++ < 2) throw new AbortedError('deadlock')
        return await kit.store.claim(input)
      }
      const { idempotency, request } = kit.process({ claim })
      assert.equal(body(await idempotency.run(request, () => ({ body: 'ok' }))), 'ok')
    },
  },
]

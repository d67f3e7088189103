/** A process that ends, and connections that have ended or may only read. */
import assert from 'node:assert/strict'
import { body, type Change, gate, matches, sleep, type StoreCase } from './store-kit.ts'

export const CLOSING_CASES: readonly StoreCase[] = [
  {
    title: 'close: no new work, in-flight work ends, what does not end is given up and fenced',
    run: async (kit) => {
      const { idempotency, request } = kit.process()
      const ended = gate()
      const hanging = idempotency.run(request, async (_, run) => {
        await ended.passed
        await run.call('a', () => 1)
      })
      const quick = idempotency.run(kit.request(), async (_, run) => {
        await run.call('q', () => 1)
        return { body: 'quick' }
      })
      await idempotency.close({ wait: '300ms' })
      assert.equal(body(await quick), 'quick')
      await assert.rejects(
        idempotency.run(request, () => ({})),
        { code: 'closed' },
      )
      ended.open()
      await assert.rejects(hanging, { code: 'closed' })
      const next = await kit.process().idempotency.run(request, () => ({ body: 'next process' }))
      assert.equal(body(next), 'next process')
    },
  },
  {
    title: 'close: what a stage writes after it was given up is rolled back',
    needs: 'effects',
    run: async (kit) => {
      const { idempotency, request, effect, effects } = kit.process()
      const ended = gate()
      const hanging = idempotency.run(request, async (_, run) => {
        await ended.passed
        await run.stage('a', (tx) => effect(tx, 'a'))
      })
      await idempotency.close({ wait: 0 })
      ended.open()
      await assert.rejects(hanging, { code: 'closed' })
      assert.deepEqual(await effects(), [])
    },
  },
  {
    title: 'close: who still waits for a key is told so, and no handler starts afterwards',
    run: async (kit) => {
      const asked = kit.request()
      const ended = gate()
      const working = kit.process().idempotency.run(asked, async () => {
        await ended.passed
        throw new Error('broken')
      })
      await sleep(50)
      const second = kit.process().idempotency
      let ran = false
      const waiting = second.run({ ...asked, inProgress: { wait: '30s' } }, () => {
        ran = true
      })
      await sleep(50)
      await second.close({ wait: '5s' })
      ended.open()
      await assert.rejects(working, /broken/)
      matches(await waiting, { kind: 'in_progress' })
      assert.equal(ran, false)
    },
  },
  {
    title: 'close: a claim that comes back after it was given up is given back',
    run: async (kit) => {
      const asked = kit.request()
      const answered = gate()
      const claim: Change['claim'] = async (input) => {
        const reply = await kit.store.claim(input)
        await answered.passed
        return reply
      }
      const first = kit.process({ claim }).idempotency
      const late = first.run(asked, () => ({ body: 'late' }))
      await sleep(50)
      await first.close({ wait: 0 })
      answered.open()
      await assert.rejects(late, { code: 'closed' })
      matches(await kit.process().idempotency.run(asked, () => ({ body: 'next' })), {
        replayed: false,
      })
    },
  },
  {
    title:
      '44 · over connections that are closed: nothing runs, and the error says that it may be tried later',
    needs: 'closed',
    run: async (kit) => {
      const closed = await kit.under.closed?.()
      assert(closed !== undefined)
      const { idempotency, request } = kit.over(closed)
      let ran = false
      const go = idempotency.run(request, () => {
        ran = true
      })
      await assert.rejects(go, { code: 'store_unavailable' })
      assert.equal(ran, false)
    },
  },
  {
    title: '44 · over connections that may only read: nothing runs, and the error is Pawl’s own',
    needs: 'readOnly',
    run: async (kit) => {
      const readOnly = await kit.under.readOnly?.()
      assert(readOnly !== undefined)
      const { idempotency, request } = kit.over(readOnly)
      let ran = false
      const go = idempotency.run(request, () => {
        ran = true
      })
      const isOurs = ({ code }: { readonly code: unknown }): boolean =>
        code === 'store_failed' || code === 'store_unavailable'
      await assert.rejects(go, isOurs)
      assert.equal(ran, false)
    },
  },
]

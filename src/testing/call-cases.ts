/** Step 3: calls of other systems, and what is kept of them. */
import assert from 'node:assert/strict'
import { StoreUnavailableError } from '../core/errors.ts'
import {
  body,
  type Change,
  gate,
  matches,
  type Process,
  SHORT,
  type StoreCase,
  UNRENEWED,
} from './store-kit.ts'

const ONCE = { repeatable: false } as const

const refused = (): Error => Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })

const chargeOnce = ({ idempotency, request }: Process, work: () => unknown) =>
  idempotency.run(request, async (_, run) => {
    await run.call('charged', work as () => null, ONCE)
    return { body: 'ok' }
  })

export const CALL_CASES: readonly StoreCase[] = [
  {
    title: '36, 37 · what a handler does to a result afterwards is not in the record',
    run: async (kit) => {
      const { idempotency, request } = kit.process()
      const seen: number[] = []
      const attempt = () =>
        idempotency.run(request, async (_, run) => {
          const order = await run.call('order', () => Promise.resolve({ total: 100 }))
          const shipping = await run.call('shipping', () => Promise.resolve({ cost: 5 }))
          order.total += shipping.cost++
          seen.push(order.total)
          await run.call('reserved', () => Promise.resolve(null))
          const again = await run.call('checked', () => Promise.resolve(order))
          again.total = 0
          if (run.attempt < 3) throw new Error('broken')
          return { body: order }
        })
      await assert.rejects(attempt, /broken/)
      await assert.rejects(attempt, /broken/)
      matches(await attempt(), { kind: 'finished' })
      assert.deepEqual(seen, [105, 105, 105])
    },
  },
  {
    title: '37 · a call whose attempt dies is made again with the same downstream key',
    run: async (kit) => {
      const { idempotency, request } = kit.process()
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
      await assert.rejects(go, /the answer was lost/)
      assert.equal(body(await go()), '{"id":"ch_1"}')
      assert.deepEqual(downstream, [downstream[0], downstream[0]])
    },
  },
  {
    title:
      '38 · a call without an answer that may not be repeated stops the record: it is never sent again',
    run: async (kit) => {
      const process = kit.process()
      let sent = 0
      const work = () => {
        sent++
        throw new Error('socket hang up')
      }
      await assert.rejects(chargeOnce(process, work), {
        code: 'outcome_unknown',
        safeNewKey: false,
      })
      matches(await chargeOnce(process, work), { kind: 'unknown' })
      assert.equal(sent, 1)
      matches(await kit.record(process.request), { state: 'unknown' })
    },
  },
  {
    title: '38 · a call that never left may be sent again',
    run: async (kit) => {
      const process = kit.process()
      let sent = 0
      const work = () => {
        if (++sent === 1) throw refused()
      }
      await assert.rejects(chargeOnce(process, work), /refused/)
      assert.equal(body(await chargeOnce(process, work)), 'ok')
      assert.equal(sent, 2)
    },
  },
  {
    title: '38 · a handler that swallows the error of an unknown call keeps its record stopped',
    run: async (kit) => {
      const { idempotency, request } = kit.process()
      const swallowed = idempotency.run(request, async (_, run) => {
        await run.call('charged', () => Promise.reject(new Error('lost')), ONCE).catch(() => null)
        return { body: 'all fine' }
      })
      await assert.rejects(swallowed, { code: 'outcome_unknown' })
    },
  },
  {
    title:
      '38 · a call without an answer, and a store that cannot note it: no step follows, and no attempt sends it again',
    run: async (kit) => {
      let down = false
      const write: Change['write'] = (hold, change) =>
        down ? Promise.reject(new StoreUnavailableError('noting')) : kit.store.write(hold, change)
      const { idempotency, request } = kit.process({ write }, { storeTimeout: '400ms' })
      const sent: number[] = []
      const attempt = () =>
        idempotency.run(request, async (_, run) => {
          const lost = () => {
            sent.push(run.attempt)
            down = true
            return Promise.reject(new Error('socket hang up'))
          }
          await run.call('first_provider', lost, ONCE).catch(() => {
            down = false
          })
          await run
            .call('second_provider', () => Promise.reject(refused()), ONCE)
            .catch(() => 'none')
          throw new Error('no provider')
        })
      await assert.rejects(attempt, { code: 'store_unavailable' })
      const noted = new Map([['first_provider', { kind: 'call', status: 'sent' }]])
      matches(await kit.record(request), { stages: noted })
      matches(await attempt(), { kind: 'unknown' })
      assert.deepEqual(sent, [1])
    },
  },
  {
    title:
      '38 · an intent that was noted between the look and the takeover: unknown, and never an answer nobody gave',
    run: async (kit) => {
      const paused = gate()
      const isSent = gate()
      const ended = gate()
      const first = kit.process(UNRENEWED, SHORT)
      const { request } = first
      const sent: string[] = []
      const stopped = first.idempotency.run(request, async (_, run) => {
        await paused.passed
        const charge = async () => {
          sent.push('first')
          isSent.open()
          await ended.passed
          return 'charged'
        }
        return { body: await run.call('charge', charge, ONCE) }
      })
      await kit.lapse()
      const takeOver: Change['takeOver'] = async (seen) => {
        paused.open()
        await isSent.passed
        await first.idempotency.close({ wait: 0 })
        return await kit.store.takeOver(seen)
      }
      const second = kit.process({ takeOver }, SHORT)
      const answer = await second.idempotency.run(request, async (_, run) => ({
        body: await run.call('charge', () => Promise.resolve(sent.push('second')), ONCE),
      }))
      matches(answer, { kind: 'unknown' })
      assert.deepEqual(sent, ['first'])
      matches(await kit.record(request), { state: 'unknown' })
      ended.open()
      await assert.rejects(stopped, ({ code }: { code: unknown }) => typeof code === 'string')
    },
  },
  {
    title:
      '38 · an answer that was noted between the look and the stop: resumed, not stopped for ever',
    run: async (kit) => {
      const answered = gate()
      const isSent = gate()
      const first = kit.process(UNRENEWED, SHORT)
      const { request } = first
      const failing = first.idempotency.run(request, async (_, run) => {
        const charge = async () => {
          isSent.open()
          await answered.passed
          return { id: 'ch_1' }
        }
        await run.call('charge', charge, ONCE)
        throw new Error('broken')
      })
      await isSent.passed
      await kit.lapse()
      const stop: Change['stop'] = async (seen, to) => {
        answered.open()
        await assert.rejects(failing, /broken/)
        return await kit.store.stop(seen, to)
      }
      const second = kit.process({ stop }, SHORT)
      const answer = await second.idempotency.run(request, async (_, run) => ({
        body: await run.call('charge', () => Promise.reject(new Error('sent again')), ONCE),
      }))
      matches(answer, { kind: 'finished' })
      assert.equal(body(answer), '{"id":"ch_1"}')
      matches(await kit.record(request), { state: 'finished' })
    },
  },
  {
    title: '38, 43 · a note that was delayed and sent again does not undo a later one',
    run: async (kit) => {
      const late = gate()
      const ended = gate()
      let delayed: Promise<boolean> | undefined
      const write: Change['write'] = (hold, change) => {
        const takesBack = change.kind === 'journal' && change.stages.size === 0
        if (!takesBack || delayed !== undefined) return kit.store.write(hold, change)
        delayed = late.passed.then(() => kit.store.write(hold, change))
        return new Promise(() => undefined)
      }
      const first = kit.process({ ...UNRENEWED, write }, { ...SHORT, storeTimeout: '400ms' })
      const { request } = first
      const sent: string[] = []
      const hanging = first.idempotency.run(request, async (_, run) => {
        await run.call('charge', () => Promise.reject(refused()), ONCE).catch(() => undefined)
        const charge = async () => {
          sent.push('first')
          late.open()
          await ended.passed
        }
        await run.call('charge', charge, ONCE)
      })
      hanging.catch(() => undefined)
      await late.passed
      assert.equal(await delayed, false)
      await kit.lapse()
      const second = kit.process({}, SHORT)
      const answer = await second.idempotency.run(request, async (_, run) => {
        await run.call('charge', () => Promise.resolve(sent.push('second')), ONCE)
      })
      matches(answer, { kind: 'unknown' })
      assert.deepEqual(sent, ['first'])
      await first.idempotency.close({ wait: 0 })
      ended.open()
    },
  },
  {
    title:
      '41 · a call’s answer is not recorded by an attempt that was taken over, and it cannot finish',
    run: async (kit) => {
      const { idempotency, request } = kit.process(UNRENEWED, SHORT)
      const stale = idempotency.run(request, async (_, run) => {
        await run.call('a', () => Promise.resolve('first'))
        await kit.lapse()
        await kit.steal(request)
        await run.call('b', () => Promise.resolve('late'))
        return { body: 'late' }
      })
      await assert.rejects(stale, { code: 'lease_lost', retryable: true })
      const record = await kit.record(request)
      assert.deepEqual([...(record?.stages.keys() ?? [])], ['a'])
      matches(record, { owner: 'thief', state: 'running', outcome: undefined })
    },
  },
]

/** Tasks, and the backlog of those that are due: what a completer works through. */
import assert from 'node:assert/strict'
import { STARTED } from '../core/record.ts'
import type { Backlog, ClaimInput, Hold } from '../core/store.ts'
import { claimed, givenBack, matches, type StoreCase, type StoreKit } from './store-kit.ts'

type TaskInput = NonNullable<ClaimInput['task']>

const TASK: TaskInput = { version: '1', input: '{"to":"Oslo"}', principal: 'u1', dueMs: 0 }
const LATER_MS = 60_000

/** An operation that nobody else has entries of. */
interface Work {
  readonly operation: string
  readonly backlog: Backlog
  claimed(task?: Partial<TaskInput>): Promise<Hold>
  /** The ids of what is due, which then is not for a minute, and the tries that were counted. */
  due(limit?: number): Promise<readonly (readonly [id: string, tries: number])[]>
}

function workOf(kit: StoreKit): Work {
  const { store } = kit
  const { backlog } = store
  assert(backlog !== undefined, 'the store under test has a backlog')
  const { key } = kit.request()
  const operation = `work-${key}`
  let ids = 0
  return {
    operation,
    backlog,
    claimed: (task = {}) =>
      claimed(store, `ikey_${key}_${String(++ids)}`, 'me', {
        operation,
        task: { ...TASK, ...task },
      }),
    due: async (limit = 100) => {
      const { records } = await backlog.due(operation, limit, LATER_MS)
      return records.map(({ record, tries }) => [record.id, tries] as const)
    },
  }
}

const FINISH = {
  kind: 'finish',
  from: STARTED,
  revision: 0,
  outcome: { status: 200, headers: [], body: undefined },
  retentionMs: LATER_MS,
} as const

const CASES: readonly StoreCase[] = [
  {
    title: 'a task is stored with its record, and found as it was written',
    run: async (kit) => {
      const { operation, claimed } = workOf(kit)
      const inputs = [
        '{ "zebra" : 1, "a": [1.0, 1e2, "\\u0000 \\ud800 \\"\\\\"] , "ab":null }',
        JSON.stringify({ to: 'Tromsø, 北京, 🚕', 'it’s': 'a "quote", a \\ and a line\nbreak' }),
        JSON.stringify({ big: 'ø$1?'.repeat(25_000) }),
        'null',
        '12',
      ]
      for (const input of inputs) {
        const { id } = await claimed({ input, version: '2026-01', principal: 'user:ø/1' })
        const found = await kit.store.find(id)
        matches(found, { id, operation, scope: 's', key: id, version: '2026-01' })
        assert.deepEqual(found?.task, { input, version: '2026-01', principal: 'user:ø/1' })
        assert.equal((await kit.store.reread(id))?.version, '2026-01')
      }
    },
  },
  {
    title: 'a task that nobody asked for has no principal; a record without a task has no version',
    run: async (kit) => {
      const work = workOf(kit)
      const { id } = await work.claimed({ principal: undefined })
      assert.equal((await kit.store.find(id))?.task?.principal, undefined)
      const other = `ikey_taskless_${kit.request().key}`
      await claimed(kit.store, other, 'me', { operation: work.operation })
      matches(await kit.store.find(other), { version: undefined, task: undefined, key: other })
      assert.deepEqual(await work.due(), [[id, 0]])
      await work.backlog.putOff(other, 0, 1)
      assert.deepEqual(await work.due(), [])
    },
  },
  {
    title: 'a claim that is asked for twice at once, among others, makes one entry',
    run: async (kit) => {
      const work = workOf(kit)
      const twin = `ikey_twin_${kit.request().key}`
      const about = { operation: work.operation, scope: 's', fingerprint: 'v1:x', owner: 'me' }
      const request = { method: undefined, path: undefined, task: TASK }
      const times = { leaseMs: 10_000, retentionMs: LATER_MS }
      const ids = [`${twin}_before`, twin, twin, `${twin}_behind`]
      const claims = ids.map((id) =>
        kit.store.claim({ id, key: id, ...about, ...request, ...times }),
      )
      const kinds = (await Promise.all(claims)).map(({ kind }) => kind)
      assert(kinds.includes('inserted') && !kinds.includes('nothing'))
      await kit.pass(5)
      const expected = [...new Set(ids)].map((id) => [id, 0])
      assert.deepEqual((await work.due()).toSorted(), expected.toSorted())
    },
  },
  {
    title: 'a record that is not there is not found, and cannot be put off',
    run: async (kit) => {
      const { backlog, due } = workOf(kit)
      assert.equal(await kit.store.find('ikey_gone'), undefined)
      await backlog.putOff('ikey_gone', 0, 1)
      assert.deepEqual(await due(), [])
    },
  },
  {
    title: 'a task is due when its time has come, and then is whole',
    run: async (kit) => {
      const { claimed, due, operation, backlog } = workOf(kit)
      const { id } = await claimed({ dueMs: 300 })
      await claimed({ dueMs: LATER_MS })
      assert.deepEqual(await due(), [])
      await kit.pass(350)
      const { seen, records } = await backlog.due(operation, 100, LATER_MS)
      assert.equal(seen, 1)
      matches(records[0]?.record, { id, operation, state: 'running', attempt: 1, owner: 'me' })
      const { version, input, principal } = TASK
      assert.deepEqual(records[0]?.record.task, { version, input, principal })
    },
  },
  {
    title: 'what was due is due again after a while, with the tries that were counted meanwhile',
    run: async (kit) => {
      const { claimed, operation, backlog } = workOf(kit)
      const { id } = await claimed()
      for (const tries of [0, 1, 2]) {
        const { records } = await backlog.due(operation, 10, 300)
        assert.deepEqual(
          records.map((one) => [one.record.id, one.tries]),
          [[id, tries]],
        )
        await backlog.putOff(id, 300, tries + 1)
        assert.deepEqual(await backlog.due(operation, 10, 300), { seen: 0, records: [] })
        await kit.pass(350)
      }
    },
  },
  {
    title: 'no more than the limit, those first that have waited longest; of one operation alone',
    run: async (kit) => {
      const { claimed, due } = workOf(kit)
      const other = workOf(kit)
      await other.claimed()
      const ids: string[] = []
      for (const _ of [1, 2, 3]) {
        ids.push((await claimed()).id)
        await kit.pass(5)
      }
      const two = (await due(2)).map(([id]) => id)
      assert.deepEqual(two.toSorted(), ids.slice(0, 2))
      assert.deepEqual(await due(2), [[ids[2], 0]])
    },
  },
  {
    title: 'completers that look at once never get the same record',
    run: async (kit) => {
      const { claimed, due } = workOf(kit)
      const holds = await Promise.all(Array.from({ length: 30 }, () => claimed()))
      const looks = Array.from({ length: 8 }, async () => [...(await due(7)), ...(await due(7))])
      const taken = (await Promise.all(looks)).flat()
      for (;;) {
        const rest = await due(7)
        if (rest.length === 0) break
        taken.push(...rest)
      }
      assert.deepEqual(taken.map(([id]) => id).toSorted(), holds.map(({ id }) => id).toSorted())
      assert(taken.every(([, tries]) => tries === 0))
    },
  },
  {
    title: 'a record that is finished leaves the backlog; one that stopped stays, for it may go on',
    run: async (kit) => {
      const { claimed, due, operation, backlog } = workOf(kit)
      const finished = await claimed()
      const stopped = [await claimed(), await claimed()] as const
      assert.equal(await kit.store.write(finished, FINISH), true)
      for (const [at, state] of (['failed', 'unknown'] as const).entries()) {
        const hold = stopped[at] ?? finished
        assert.equal(await kit.store.stop(await givenBack(kit, hold), state), true)
      }
      const { seen, records } = await backlog.due(operation, 10, 0)
      assert.equal(seen, 3)
      const states = records.map(({ record }) => record.state)
      assert.deepEqual(states.toSorted(), ['failed', 'unknown'])
      await kit.pass(5)
      const ids = (await due()).map(([id]) => id)
      assert.deepEqual(ids.toSorted(), stopped.map(({ id }) => id).toSorted())
      await backlog.putOff(finished.id, 0, 1)
      await kit.pass(5)
      assert.deepEqual(await due(), [])
    },
  },
  {
    title: 'what is put off is due then, with the tries it was given; and enters if it has left',
    run: async (kit) => {
      const { claimed, due, operation, backlog } = workOf(kit)
      const hold = await claimed()
      await backlog.putOff(hold.id, LATER_MS, 4)
      assert.deepEqual(await due(), [])
      await backlog.putOff(hold.id, 0, 4)
      await kit.pass(5)
      assert.deepEqual(await due(), [[hold.id, 4]])

      const seen = await givenBack(kit, hold)
      assert.equal(await kit.store.stop(seen, 'failed'), true)
      await backlog.putOff(hold.id, 0, 5)
      await backlog.due(operation, 10, 0)
      const revision = seen.revision + 1
      const back = { revision, state: 'failed', recoveryPoint: STARTED, stages: new Map() } as const
      assert.equal(await kit.store.restart({ ...seen, ...back }), true)
      await backlog.putOff(hold.id, 0, 0)
      await kit.pass(5)
      assert.deepEqual(await due(), [[hold.id, 0]])
    },
  },
  {
    title: '32 · a new execution has its own task, or none',
    run: async (kit) => {
      const { claimed, due, backlog, operation } = workOf(kit)
      const holds = [await claimed(), await claimed()] as const
      for (const hold of holds) {
        assert.equal(await kit.store.write(hold, { ...FINISH, retentionMs: 1_000 }), true)
        await kit.under.expire?.(hold.id)
      }
      assert.deepEqual(await backlog.due(operation, 10, 0), { seen: 2, records: [] })
      if (kit.under.expire === undefined) await kit.pass(1_100)
      const request = { fingerprint: 'v1:y', method: undefined, path: undefined }
      const times = { leaseMs: 10_000, retentionMs: LATER_MS }
      const about = { scope: 's', operation, key: 'k' }
      const anew = { attempt: 1, revision: 1, owner: 'next', ...about, ...request, ...times }
      const task = { version: '2', input: '[2]', principal: undefined }
      const [first, second] = holds
      const begun = await kit.store.reset({ ...anew, id: first.id, task: { ...task, dueMs: 0 } })
      matches(begun, { attempt: 2, version: '2', state: 'running' })
      matches(await kit.store.reset({ ...anew, id: second.id, task: undefined }), {
        attempt: 2,
        version: undefined,
      })
      assert.deepEqual((await kit.store.find(first.id))?.task, task)
      assert.equal((await kit.store.find(second.id))?.task, undefined)
      await kit.pass(5)
      assert.deepEqual(await due(), [[first.id, 0]])
    },
  },
  {
    title: '33 · the entry of a record that was reaped becomes that of the next one of its key',
    run: async (kit) => {
      const { claimed, due, operation } = workOf(kit)
      const hold = await claimed()
      assert.equal(await kit.store.write(hold, { ...FINISH, retentionMs: 1_000 }), true)
      if (kit.under.expire === undefined) await kit.pass(1_100)
      else await kit.under.expire(hold.id)
      while ((await kit.store.reap(100, 0)) > 0);
      assert.deepEqual(await due(), [])
      await claimedAgain(kit, hold.id, operation)
      await kit.pass(5)
      await kit.store.backlog?.putOff(hold.id, 0, 0)
      await kit.pass(5)
      assert.deepEqual(await due(), [[hold.id, 0]])
    },
  },
]

async function claimedAgain(kit: StoreKit, id: string, operation: string): Promise<void> {
  await claimed(kit.store, id, 'next', { operation, task: TASK })
}

export const BACKLOG_CASES: readonly StoreCase[] = CASES.map((one) => ({
  ...one,
  needs: 'backlog',
}))

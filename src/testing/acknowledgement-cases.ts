/** Step 5: a change was made, or was not, and the answer is lost. Conformance 43. */
import assert from 'node:assert/strict'
import { StoreUnavailableError } from '../core/errors.ts'
import { type CommitOptions, CommitUnknownError, type Hold, type Write } from '../core/store.ts'
import {
  body,
  type Change,
  losesFirst,
  matches,
  type StoreCase,
  type StoreKit,
} from './store-kit.ts'

type Work = (tx: unknown) => Promise<{ readonly value: unknown; readonly write: Write }>
type Commit = (hold: Hold, options: CommitOptions<string>, work: Work) => Promise<unknown>

const commitOf = (commit: Commit): Change => ({ commit: commit as Change['commit'] & Commit })

const real =
  ({ store }: StoreKit): Commit =>
  (hold, options, work) =>
    store.commit(hold, options, work)

/** What a commit would have written, in a transaction that is rolled back. */
async function rolledBack(kit: StoreKit, work: Work): ReturnType<Work> {
  let planned: Awaited<ReturnType<Work>> | undefined
  const end = new Error('rolled back')
  const running = kit.store.transaction({ isolation: undefined }, async (tx) => {
    planned = await work(tx)
    throw end
  })
  await assert.rejects(running, end)
  assert(planned !== undefined)
  return planned
}

export const ACKNOWLEDGEMENT_CASES: readonly StoreCase[] = [
  {
    title: '43 · of a claim: it recognises itself, attempt unchanged',
    run: async (kit) => {
      const claim = losesFirst(
        (input: Parameters<StoreKit['store']['claim']>[0]) => kit.store.claim(input),
        new StoreUnavailableError('claiming'),
      )
      const { idempotency, request } = kit.process({ claim })
      const result = await idempotency.run(request, (_, run) => ({ body: String(run.attempt) }))
      assert.equal(body(result), '1')
    },
  },
  {
    title: '43 · of a takeover: it recognises itself',
    run: async (kit) => {
      const takeOver = losesFirst(
        (input: Parameters<StoreKit['store']['takeOver']>[0]) => kit.store.takeOver(input),
        new StoreUnavailableError('taking over'),
      )
      const { idempotency, request } = kit.process({ takeOver })
      const broken = idempotency.run(request, () => Promise.reject(new Error('broken')))
      await assert.rejects(broken, /broken/)
      const result = await idempotency.run(request, (_, run) => ({ body: String(run.attempt) }))
      assert.equal(body(result), '2')
    },
  },
  {
    title: '43 · of a stage’s commit: the record is read again, the stage is not run twice',
    needs: 'effects',
    run: async (kit) => {
      const commit = losesFirst(real(kit), new CommitUnknownError('cut'))
      const { idempotency, request, effect, effects, seen } = kit.process(commitOf(commit))
      const result = await idempotency.run(request, async (_, run) => {
        await run.stage('a', (tx) => effect(tx, 'a'))
        return { body: 'ok' }
      })
      assert.equal(body(result), 'ok')
      assert.deepEqual([await effects(), seen('commit_resolved')], [['a'], 1])
    },
  },
  {
    title: '43 · of a commit that never arrived: the stage runs again',
    needs: 'effects',
    run: async (kit) => {
      let cut = true
      const commit: Commit = async (hold, options, work) => {
        if (!cut) return await kit.store.commit(hold, options, work)
        cut = false
        await rolledBack(kit, work)
        throw new CommitUnknownError('cut')
      }
      const { idempotency, request, effect, effects } = kit.process(commitOf(commit))
      await idempotency.run(request, async (_, run) => {
        await run.stage('a', (tx) => effect(tx, 'a'))
      })
      assert.deepEqual(await effects(), ['a'])
    },
  },
  {
    title:
      '43 · of a commit that lands only after it was looked for: its own result is the one returned',
    needs: 'effects',
    run: async (kit) => {
      let calls = 0
      let late = (): Promise<unknown> => Promise.resolve()
      const commit: Commit = async (hold, options, work) => {
        if (++calls !== 1) {
          if (calls === 2) await late()
          return await kit.store.commit(hold, options, work)
        }
        const first = await rolledBack(kit, work)
        late = () => kit.store.commit(hold, { isolation: undefined }, () => Promise.resolve(first))
        throw new CommitUnknownError('cut')
      }
      const { idempotency, request } = kit.process(commitOf(commit))
      let tries = 0
      const result = await idempotency.run(request, async (_, run) => ({
        body: await run.stage('a', () => ({ try: ++tries })),
      }))
      assert.deepEqual([body(result), tries], ['{"try":1}', 2])
    },
  },
  {
    title: '43 · of a call’s record: it is looked for before it counts as fenced',
    run: async (kit) => {
      const { idempotency, request } = kit.process({ write: lostWrite(kit) })
      let sent = 0
      const go = () =>
        idempotency.run(request, async (_, run) => {
          await run.call('charged', () => void sent++)
          return { body: 'ok' }
        })
      assert.equal(body(await go()), 'ok')
      matches(await go(), { replayed: true })
      assert.equal(sent, 1)
    },
  },
  {
    title: '43 · of a lone finish: it is looked for before it counts as fenced',
    run: async (kit) => {
      const { idempotency, request } = kit.process({ write: lostWrite(kit) })
      const bytes = Uint8Array.from({ length: 256 }, (_, at) => at)
      matches(await idempotency.run(request, () => ({ body: bytes })), { stored: true })
      matches(await idempotency.run(request, () => ({})), { replayed: true })
    },
  },
]

function lostWrite(kit: StoreKit): (hold: Hold, write: Write) => Promise<boolean> {
  return losesFirst(
    (hold: Hold, write: Write) => kit.store.write(hold, write),
    new StoreUnavailableError('recording'),
  )
}

/** Steps that could not be resumed are refused, and what was recorded is resumed in its order or not at all. */
import assert from 'node:assert/strict'
import type { Run } from '../core/run.ts'
import { body, matches, type StoreCase } from './store-kit.ts'

type Misuse = readonly [
  title: string,
  needs: 'effects' | undefined,
  steps: (run: Run<unknown>) => Promise<unknown>,
]

const one = (): Promise<number> => Promise.resolve(1)

const MISUSES: readonly Misuse[] = [
  ['a stage inside a stage', 'effects', (run) => run.stage('a', () => run.stage('b', one))],
  ['a call inside a stage', 'effects', (run) => run.stage('a', () => run.call('b', one))],
  ['a stage inside a call', 'effects', (run) => run.call('a', () => run.stage('b', one))],
  ['a call inside a call', undefined, (run) => run.call('a', () => run.call('b', one))],
  [
    'two steps at once',
    undefined,
    async (run) => {
      const first = run.call('a', one)
      await run.call('b', one).finally(() => first)
    },
  ],
  [
    'one name twice',
    undefined,
    async (run) => {
      await run.call('a', one)
      await run.call('a', one)
    },
  ],
  ['a name that is none', undefined, (run) => run.call('__proto__', one)],
]

const misused = { code: 'step_misused' }

const MISUSE_CASES = MISUSES.map(([title, needs, steps]): StoreCase => ({
  title: `refused: ${title}`,
  ...(needs === undefined ? {} : { needs }),
  run: async (kit) => {
    const { idempotency, request } = kit.process()
    await idempotency.run(request, async (_, run) => {
      await assert.rejects(steps(run), misused)
      return { body: 'x' }
    })
  },
}))

export const STEP_CASES: readonly StoreCase[] = [
  ...MISUSE_CASES,
  {
    title: 'refused: a stage after finish',
    needs: 'effects',
    run: async (kit) => {
      const { idempotency, request } = kit.process()
      await idempotency.run(request, async (_, run) => {
        const finished = await run.finish(() => ({ body: 'done' }))
        await assert.rejects(run.stage('b', one), misused)
        return finished
      })
      matches(await idempotency.run(request, () => ({})), { replayed: true })
    },
  },
  {
    title: 'refused: a stage left open when the handler returns',
    needs: 'effects',
    run: async (kit) => {
      const { idempotency, request, effect } = kit.process()
      const go = idempotency.run(request, (_, run) => {
        run.stage('a', (tx) => effect(tx, 'a')).catch(() => undefined)
        return { body: 'too early' }
      })
      await assert.rejects(go, misused)
    },
  },
  {
    title: 'a step that failed may be tried again under its name; what is recorded may not',
    needs: 'effects',
    run: async (kit) => {
      const { idempotency, request, effect, effects } = kit.process()
      let calls = 0
      const go = () =>
        idempotency.run(request, async (_, run) => {
          const charge = () =>
            run.call('charged', () => {
              calls++
              if (calls === 1) throw new Error('busy')
              return calls
            })
          const sale = () =>
            run.stage('sold', async (tx) => {
              await effect(tx, 'sold')
              if (calls === 2) throw new Error(`sold out ${String(calls++)}`)
              return null
            })
          await charge().catch(charge)
          await sale().catch(sale)
          return { body: String(calls) }
        })
      assert.equal(body(await go()), '3')
      matches(await go(), { replayed: true })
      assert.deepEqual(await effects(), ['sold'])
    },
  },
  ...(['another name', 'none at all'] as const).map((title): StoreCase => ({
    title: `steps not passed in their order (${title}): nothing runs, nothing is guessed`,
    run: async (kit) => {
      const { idempotency, request } = kit.process()
      let ran = 0
      const broken = idempotency.run(request, async (_, run) => {
        await run.call('a', one)
        throw new Error('deploy')
      })
      await assert.rejects(broken, /deploy/)
      const other = idempotency.run(request, async (_, run) => {
        if (title === 'another name') await run.call('renamed', () => ++ran)
        return { body: 'guessed' }
      })
      await assert.rejects(other, { code: 'recovery_point_unknown' })
      assert.equal(ran, 0)
      const back = await idempotency.run(request, async (_, run) => {
        await run.call('a', () => ++ran)
        return { body: 'resumed' }
      })
      assert.deepEqual([body(back), ran], ['resumed', 0])
    },
  })),
]

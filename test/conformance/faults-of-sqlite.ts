/**
 * Conformance 42–44 on SQLite. There is no connection that could break: what breaks is the disk below a COMMIT, and what
 * is in the way is another process that has the file. Imported behind `runOn`.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import BetterSqlite3 from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type AppRun, effect, rideHandler, setup } from '../support/app.ts'
import { engineUrl } from '../support/engine.ts'

const body = { to: 'Oslo' }
const FRAMEWORKS = ['express 5', 'fetch'] as const

function diskError(): Error {
  return Object.assign(new Error('disk I/O error'), { code: 'SQLITE_IOERR_FSYNC' })
}

describe.each(FRAMEWORKS)('%s', (framework) => {
  /** As another process has it. */
  let other: BetterSqlite3.Database
  beforeEach(() => {
    other = new BetterSqlite3(engineUrl())
  })
  afterEach(() => {
    other.close()
  })

  describe('a file that another process has', () => {
    test.each(['ride_created', 'receipt'])(
      '42 · SQLITE_BUSY at the beginning of the transaction of %s → waited for; the caller sees the success',
      async (step) => {
        const app = await setup({
          framework,
          handler: async (_, run) => {
            const before = async (name: string): Promise<void> => {
              if (name !== step) return
              other.exec('begin immediate')
              setTimeout(() => other.exec('commit'), 300)
            }
            await before('ride_created')
            await run.stage('ride_created', async (tx) => effect(tx, run, 'ride_created'))
            await before('receipt')
            return await run.finish(async (tx) => {
              await effect(tx, run, 'receipt')
              return { status: 201 }
            })
          },
        })
        const began = performance.now()
        const first = await app.send({ key: 'k', body })
        expect(first.status).toBe(201)
        expect(performance.now() - began).toBeGreaterThan(250)
        expect((await app.effects('k')).map(({ stage }) => stage)).toEqual([
          'ride_created',
          'receipt',
        ])
        expect(app.count()).toBe(1)
        expect(await app.send({ key: 'k', body })).toReplay(first)
      },
    )

    test('44 · longer than the store is waited for → 503 + Retry-After, handler not run; afterwards it executes', async () => {
      const app = await setup({
        framework,
        handler: rideHandler,
        idempotencyOptions: { storeTimeout: '300ms', lease: '500ms' },
        options: { inProgress: { wait: '10s' } },
      })
      other.exec('begin immediate')
      const refused = await app.send({ key: 'k', body })
      expect(refused).toMatchProblem({ status: 503, code: 'store_unavailable' })
      expect(refused.headers['retry-after']).toMatch(/^\d+$/)
      expect(app.count()).toBe(0)
      other.exec('commit')
      const first = await app.send({ key: 'k', body })
      expect(first.status).toBe(201)
      expect(await app.effects('k')).toHaveLength(2)
      expect(await app.send({ key: 'k', body })).toReplay(first)
    })
  })

  describe('a disk that fails below COMMIT', () => {
    /** Books a ride; the commit numbered `nth`, from the claim on, goes wrong. */
    async function failingAt(step: 'ride_created' | 'receipt', landed: boolean) {
      let armed = false
      const arm = async (tx: Parameters<typeof effect>[0], run: AppRun, name: string) => {
        await effect(tx, run, name)
        if (name === step && run.attempt === 1 && !done) armed = done = true
      }
      let done = false
      return await setup({
        framework,
        commit: (commit) => {
          if (!armed) return commit()
          armed = false
          if (landed) commit()
          throw diskError()
        },
        handler: async (_, run) => {
          const { id } = await run.stage('ride_created', async (tx) => {
            await arm(tx, run, 'ride_created')
            return { id: randomUUID() }
          })
          return await run.finish(async (tx) => {
            await arm(tx, run, 'receipt')
            return { status: 201, body: { id } }
          })
        },
      })
    }

    test.each(
      (['ride_created', 'receipt'] as const).flatMap((step) =>
        [false, true].map((landed) => ({ step, landed })),
      ),
    )(
      '43 · the COMMIT of $step ends with an error, landed: $landed → the record is re-read; committed once',
      async ({ step, landed }) => {
        const app = await failingAt(step, landed)
        const first = await app.send({ key: 'k', body })
        expect(first.status).toBe(201)
        const name = step === 'receipt' ? 'finished' : step
        expect(await app.seen('commit_unknown')).toMatchObject({ step: name })
        expect(await app.seen('commit_resolved')).toMatchObject({ step: name, landed })
        expect((await app.effects('k')).map(({ stage, attempt }) => [stage, attempt])).toEqual([
          ['ride_created', 1],
          ['receipt', 1],
        ])
        expect(app.count()).toBe(1)
        expect(await app.send({ key: 'k', body })).toReplay(first)
      },
    )

    test('44 · the disk is full at finish inside the transaction → 503, the effect rolls back too; the retry resumes', async () => {
      let full = false
      const app = await setup({
        framework,
        idempotencyOptions: { storeTimeout: '500ms', lease: '300ms' },
        options: { inProgress: { wait: '10s' } },
        commit: (commit) => {
          if (full)
            throw Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' })
          commit()
        },
        handler: async ({ count }, run) => {
          await run.stage('ride_created', async (tx) => effect(tx, run, 'ride_created'))
          return await run.finish(async (tx) => {
            await effect(tx, run, 'receipt')
            if (count === 1) full = true
            return { status: 201, body: { count } }
          })
        },
      })
      const refused = await app.send({ key: 'k', body })
      expect(refused).toMatchProblem({ status: 503, code: 'store_unavailable' })
      expect(refused.headers['retry-after']).toMatch(/^[1-9]\d*$/)
      expect((await app.effects('k')).map(({ stage }) => stage)).toEqual(['ride_created'])
      full = false
      await sleep(50)
      const second = await app.send({ key: 'k', body })
      expect([second.status, second.json()]).toEqual([201, { count: 2 }])
      expect((await app.effects('k')).map(({ stage, attempt }) => [stage, attempt])).toEqual([
        ['ride_created', 1],
        ['receipt', 2],
      ])
      expect(await app.send({ key: 'k', body })).toReplay(second)
    })
  })
})

/**
 * Goal: a stage whose session the server ends while it sends nothing commits nothing, keeps its process alive, and is
 * tried again, through every library. Method: end its session, and go on in it once the server has none of it left.
 */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test, vi } from 'vitest'
import { createIdempotency } from '../../src/index.ts'
import { engineOf } from './engine-of.ts'
import { type SqlStoreUnderTest, STORES } from './stores.ts'

const BY_HAND = ['by hand', '30s'] as const
const AS_SILENT = ['as it is silent for longer than the lease', '1s'] as const

describe.each(STORES.filter(([name]) => engineOf(name) === 'postgres'))('%s', (name, open) => {
  // Kysely does not listen to errors of its clients, so the server is not told to end such a session.
  const ways = name.startsWith('kysely') ? [BY_HAND] : [BY_HAND, AS_SILENT]
  let under: SqlStoreUnderTest
  beforeAll(async () => {
    under = await open()
  })
  afterAll(() => under.close())

  test.each(ways)(
    '44 · ended %s → tried again, and what is sent late joins no other transaction',
    async (by, lease) => {
      const { store, effects, table } = under
      const other = new pg.Client(inject('postgresUrl'))
      await other.connect()
      onTestFinished(() => other.end())
      /** Those whose last statement was about the rows of this test. */
      const sessions = async (what = 'pid'): Promise<unknown[]> => {
        const about = `state like 'idle in transaction%' and query like '%${table}_effect%'`
        return (await other.query(`select ${what} from pg_stat_activity where ${about}`)).rows
      }
      const idempotency = createIdempotency({ store, lease })
      onTestFinished(() => idempotency.close({ wait: 0 }))
      const request = { operation: 'o', scope: 's', key: by, input: null }
      let tries = 0
      const late: unknown[] = []
      const result = await idempotency.run(request, (__, run) =>
        run.finish(async (tx) => {
          await effects?.add(tx, by)
          if (++tries === 1) {
            if (by === 'by hand')
              expect(await sessions('pg_terminate_backend(pid)')).toHaveLength(1)
            await vi.waitFor(async () => expect(await sessions()).toEqual([]), 10_000)
            // Whoever comes meanwhile may be given what was this stage's connection.
            await Promise.all(Array.from({ length: 10 }, () => store.find('ikey_none')))
            late.push(await effects?.add(tx, 'late').catch((error: unknown) => error))
          }
          return { status: 201 }
        }),
      )
      expect(result).toMatchObject({ kind: 'finished', outcome: { status: 201 } })
      expect([tries, late]).toEqual([2, [expect.any(Error)]])
      const made = (await effects?.committed())?.filter((one) => one === by || one === 'late')
      expect(made).toEqual([by])
    },
  )
})

/**
 * Goal: a stage whose session the server ends while it sends nothing commits nothing, keeps its process alive, and is
 * tried again, through every library. Method: end its session, and go on in it once the server has none of it left.
 */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test, vi } from 'vitest'
import { createIdempotency } from '../../src/index.ts'
import { engineOf } from './engine-of.ts'
import { type SqlStoreUnderTest, STORES } from './stores.ts'

describe.each(STORES.filter(([name]) => engineOf(name) === 'postgres'))('%s', (_, open) => {
  let under: SqlStoreUnderTest
  beforeAll(async () => {
    under = await open()
  })
  afterAll(() => under.close())

  test('44 · it is tried again, and what it sends late is in no transaction of another', async () => {
    const { store, effects, table } = under
    const other = new pg.Client(inject('postgresUrl'))
    await other.connect()
    onTestFinished(() => other.end())
    /** Those whose last statement was about the rows of this test. */
    const sessions = async (what = 'pid'): Promise<unknown[]> => {
      const about = `state like 'idle in transaction%' and query like '%${table}_effect%'`
      return (await other.query(`select ${what} from pg_stat_activity where ${about}`)).rows
    }
    const idempotency = createIdempotency({ store, lease: '30s' })
    onTestFinished(() => idempotency.close({ wait: 0 }))
    const request = { operation: 'o', scope: 's', key: 'ended', input: null }
    let tries = 0
    const late: unknown[] = []
    const result = await idempotency.run(request, (__, run) =>
      run.finish(async (tx) => {
        await effects?.add(tx, 'early')
        if (++tries === 1) {
          expect(await sessions('pg_terminate_backend(pid)')).toHaveLength(1)
          await vi.waitFor(async () => expect(await sessions()).toEqual([]))
          // Whoever comes meanwhile may be given what was this stage's connection.
          await Promise.all(Array.from({ length: 10 }, () => store.find('ikey_none')))
          late.push(await effects?.add(tx, 'late').catch((error: unknown) => error))
        }
        return { status: 201 }
      }),
    )
    expect(result).toMatchObject({ kind: 'finished', outcome: { status: 201 } })
    expect([tries, late]).toEqual([2, [expect.any(Error)]])
    expect(await effects?.committed()).toEqual(['early'])
  })
})

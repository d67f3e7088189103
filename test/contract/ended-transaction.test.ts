/**
 * Goal: a stage whose transaction has ended by itself commits nothing and says so, through every library of an engine
 * where the next statement would be in autocommit. Method: end it as the engine does, by a statement.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createIdempotency } from '../../src/index.ts'
import { type SqlStoreUnderTest, STORES } from './stores.ts'
import { MYSQL } from './words.ts'

/** PostgreSQL has no such thing: there the transaction refuses every statement. */
const ENGINES = /mysql|mariadb|sqlite|libsql/

describe.each(STORES.filter(([name]) => ENGINES.test(name)))('%s', (_, open) => {
  let under: SqlStoreUnderTest
  beforeAll(async () => {
    under = await open()
  })
  afterAll(() => under.close())

  test('a rollback, or a commit by a change of the schema: it is not reported as committed', async () => {
    const { store, effects, sql, table, words } = under
    const idempotency = createIdempotency({ store })
    const ends = ['rollback', ...(words === MYSQL ? [`create table ${table}_any (n int)`] : [])]
    for (const [nth, end] of ends.entries()) {
      const request = { operation: 'o', scope: 's', key: `ended ${String(nth)}`, input: null }
      const going = idempotency.run(request, async (__, run) => {
        await run.stage('a', async (tx) => {
          await effects?.add(tx, end)
          await tx.query(end)
        })
      })
      await expect(going, end).rejects.toMatchObject({ code: 'transaction_failed_inside' })
      const rest = await idempotency.run(request, () => ({ body: 'goes on' }))
      expect(rest).toMatchObject({ kind: 'finished', stored: true })
    }
    expect(await effects?.committed()).not.toContain('rollback')
    const points = await sql<{ stages: string }>(`select stages from ${table}`)
    expect(points.map(({ stages }) => stages)).toEqual(ends.map(() => '{}'))
    if (words === MYSQL) await sql(`drop table ${table}_any`)
  })
})

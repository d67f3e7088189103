/**
 * Goal: a stage whose session the server ends while it sends nothing commits nothing, keeps its process alive, and is
 * tried again, through every library. Method: end its session, and go on in it once the server has none of it left.
 */
import { sql as words } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/postgres-js'
import pg from 'pg'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test, vi } from 'vitest'
import { drizzleStore } from '../../src/databases/drizzle.ts'
import { postgresJsStore } from '../../src/databases/postgres.ts'
import { createIdempotency, type Store } from '../../src/index.ts'
import { engineOf } from './engine-of.ts'
import { type SqlStoreUnderTest, STORES } from './stores.ts'

const BY_HAND = ['by hand', '30s'] as const
const AS_SILENT = ['as it is silent for longer than the lease', '1s'] as const

describe.each(STORES.filter(([name]) => engineOf(name) === 'postgres'))('%s', (name, open) => {
  // With Kysely and postgres.js the server is not told to end such a session.
  const ways = /kysely|postgres[.-]js/.test(name) ? [BY_HAND] : [BY_HAND, AS_SILENT]
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

describe('in a savepoint, which postgres.js would go on with on the connection of the next one', () => {
  type Insert = (note: string) => PromiseLike<unknown>
  /** A savepoint of each library, whose work is given a way to insert. */
  const ways: readonly (readonly [
    name: string,
    open: (client: postgres.Sql, table: string) => Store<unknown>,
    save: (tx: unknown, work: (insert: Insert) => Promise<void>) => Promise<unknown>,
  ])[] = [
    [
      'postgres.js',
      (client, table) =>
        postgresJsStore(client, { table, stageTimeouts: { idle: '1s' } }) as Store<unknown>,
      (tx, work) =>
        (tx as postgres.TransactionSql).savepoint((inner) =>
          work((note) => inner`insert into ${inner(ROWS)} (note) values (${note})`),
        ),
    ],
    [
      'drizzle, postgres-js',
      (client, table) => drizzleStore(drizzle(client), { table, stageTimeouts: { idle: '1s' } }),
      (tx, work) =>
        (tx as ReturnType<typeof drizzle>).transaction((inner) =>
          work((note) =>
            inner.execute(words`insert into ${words.identifier(ROWS)} (note) values (${note})`),
          ),
        ),
    ],
  ]
  const ROWS = `ended_${process.pid}`

  test.each(ways)(
    '44 · %s: nothing of it is sent, and the stage is tried again',
    async (name, open, save) => {
      const table = `${ROWS}_${name.startsWith('d') ? 'd' : 'p'}`
      const client = postgres(inject('postgresUrl'), { max: 1, onnotice: () => undefined })
      onTestFinished(() => client.end())
      await client.unsafe(`create table if not exists ${ROWS} (note text)`)
      onTestFinished(async () => {
        await client.unsafe(
          `drop table if exists ${ROWS}, ${table}, ${table}_backlog, ${table}_migration`,
        )
      })
      const store = open(client, table)
      await store.migrate()
      const idempotency = createIdempotency({ store, lease: '1s' })
      onTestFinished(() => idempotency.close({ wait: 0 }))
      let tries = 0
      const late: unknown[] = []
      const request = { operation: 'o', scope: 's', key: name, input: null }
      const result = await idempotency.run(request, (__, run) =>
        run.finish(async (tx) => {
          const isFirst = ++tries === 1
          await save(tx, async (insert) => {
            await insert(`${name} ${String(tries)}`)
            if (!isFirst) return
            await new Promise((resolve) => setTimeout(resolve, 1_500))
            // Somebody else's transaction is open on what was this one's connection.
            await client.begin(async (other) => {
              const sent = async (): Promise<unknown> => await insert(`${name}, late`)
              late.push(await sent().catch((error: unknown) => error))
              await other`select 1`
            })
          })
          return { status: 201 }
        }),
      )
      expect(result).toMatchObject({ kind: 'finished', outcome: { status: 201 } })
      expect(tries).toBe(2)
      await vi.waitFor(() => expect(late).toEqual([expect.any(Error)]))
      const rows = await client.unsafe(`select note from ${ROWS} where note like '${name}%'`)
      expect(rows.map(({ note }) => note as unknown)).toEqual([`${name} 2`])
    },
  )
})

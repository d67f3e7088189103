/** Goal: with postgres.js, Kysely and Knex `tx` is exactly the library's own transaction, and wrong levels do not compile. */
import type { Knex } from 'knex'
import type { Kysely, Transaction } from 'kysely'
import type postgres from 'postgres'
import { expectTypeOf, test } from 'vitest'
import { knexStore } from '../../src/databases/knex.ts'
import { kyselyStore } from '../../src/databases/kysely.ts'
import { postgresJsStore } from '../../src/databases/postgres.ts'
import { createIdempotency } from '../../src/index.ts'

interface Tables {
  ride: { id: number }
}

declare const sql: postgres.Sql
declare const kysely: Kysely<Tables>
declare const knex: Knex

test('postgres.js: TransactionSql', () => {
  const run = createIdempotency({ store: postgresJsStore(sql) }).currentRun()
  void run.stage('a', async (tx) => {
    expectTypeOf(tx).toEqualTypeOf<postgres.TransactionSql>()
    return await tx<{ id: number }[]>`select 1 as id`.then((rows) => rows.length)
  })
  // @ts-expect-error no such level
  void run.stage('b', () => 1, { isolation: 'snapshot' })
})

test('Kysely: Transaction of its tables', () => {
  const run = createIdempotency({ store: kyselyStore(kysely) }).currentRun()
  void run.stage('a', async (tx) => {
    expectTypeOf(tx).toEqualTypeOf<Transaction<Tables>>()
    return await tx.selectFrom('ride').select('id').execute()
  })
  // @ts-expect-error no such level
  void run.stage('b', () => 1, { isolation: 'snapshot' })
})

test('Knex: Transaction', () => {
  const run = createIdempotency({ store: knexStore(knex) }).currentRun()
  void run.stage('a', (tx) => {
    expectTypeOf(tx).toEqualTypeOf<Knex.Transaction>()
  })
  // @ts-expect-error rows that are rolled back later would be read
  void run.stage('b', () => 1, { isolation: 'read uncommitted' })
})

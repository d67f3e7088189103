/** Goal: the seams are typed. `tx` is the driver's own type, results are inferred and must be JSON. */
import type { PGlite, Transaction } from '@electric-sql/pglite'
import type pg from 'pg'
import { expectTypeOf, test } from 'vitest'
import { createIdempotency, type Run } from '../../src/index.ts'
import { pgliteStore } from '../../src/databases/pglite.ts'
import { pgStore } from '../../src/databases/pg.ts'

declare const pool: pg.Pool
declare const db: PGlite
declare const run: Run<pg.PoolClient, 'read committed' | 'repeatable read' | 'serializable'>

test('tx is exactly the library’s type', () => {
  const onPg = createIdempotency({ store: pgStore(pool) })
  const onPglite = createIdempotency({ store: pgliteStore(db) })
  void onPg.run({ operation: 'o', scope: 's', key: 'k', input: null }, async (_, r) => {
    await r.stage('a', (tx) => {
      expectTypeOf(tx).toEqualTypeOf<pg.PoolClient>()
    })
  })
  void onPglite.run({ operation: 'o', scope: 's', key: 'k', input: null }, async (_, r) => {
    await r.stage('a', (tx) => {
      expectTypeOf(tx).toEqualTypeOf<Transaction>()
    })
  })
  expectTypeOf(onPg.currentRun()).toEqualTypeOf<typeof run>()
})

test('stage and call results are inferred', async () => {
  const ride = await run.stage('a', async () => ({ id: 1, to: 'Oslo', tags: ['x'] as const }))
  expectTypeOf(ride).toEqualTypeOf<{ id: number; to: string; tags: readonly ['x'] }>()
  const charge = await run.call('b', () => Promise.resolve({ id: 'ch_1', amount: null }))
  expectTypeOf(charge).toEqualTypeOf<{ id: string; amount: null }>()
  const nothing = await run.stage('c', async () => {})
  expectTypeOf(nothing).toEqualTypeOf<void>()
  const row = await run.stage(
    'd',
    async (tx) => (await tx.query<{ id: number }>('select 1')).rows[0],
  )
  expectTypeOf(row).toEqualTypeOf<{ id: number } | undefined>()
  interface Ride {
    id: number
    note?: string
  }
  const typed = await run.stage('e', async (): Promise<Ride> => ({ id: 1 }))
  expectTypeOf(typed).toEqualTypeOf<Ride>()
})

test('what JSON cannot carry does not compile', () => {
  class Money {
    readonly cents = 1
    format(): string {
      return String(this.cents)
    }
  }
  // @ts-expect-error a Date comes back as a string
  void run.stage('a', async () => new Date())
  // @ts-expect-error a Date inside comes back as a string too
  void run.stage('a', async () => ({ at: new Date() }))
  // @ts-expect-error the methods of a class instance are lost
  void run.stage('a', async () => new Money())
  // @ts-expect-error a bigint is lost
  void run.call('a', async () => ({ n: 1n }))
  // @ts-expect-error a Map comes back empty
  void run.call('a', async () => new Map<string, string>())
  // @ts-expect-error bytes are not JSON
  void run.call('a', async () => Buffer.from('x'))
})

test('wrong isolation levels do not compile', () => {
  void run.stage('a', async () => 1, { isolation: 'serializable' })
  // @ts-expect-error PostgreSQL has no such level
  void run.stage('a', async () => 1, { isolation: 'chaos' })
})

test('a scope must be given', () => {
  const i = createIdempotency({ store: pgStore(pool) })
  // @ts-expect-error scope is missing
  void i.run({ operation: 'o', key: 'k', input: null }, async () => {})
  // @ts-expect-error scope may not be undefined
  void i.run({ operation: 'o', key: 'k', input: null, scope: undefined }, async () => {})
  // @ts-expect-error input must be JSON
  void i.run({ operation: 'o', key: 'k', input: new Date(), scope: 's' }, async () => {})
})

/** Goal: on MySQL and MariaDB `tx` is the pool's own connection, and levels are those of InnoDB. */
import type * as mariadb from 'mariadb'
import type mysql2 from 'mysql2/promise'
import { expectTypeOf, test } from 'vitest'
import { mariadbStore } from '../../src/databases/mariadb.ts'
import { mysql2Store } from '../../src/databases/mysql2.ts'
import { createIdempotency } from '../../src/index.ts'

declare const pool: mysql2.Pool
declare const mariadbPool: mariadb.Pool

test('tx is the connection of the pool', () => {
  const run = createIdempotency({ store: mysql2Store(pool) }).currentRun()
  void run.stage('a', (tx) => {
    expectTypeOf(tx).toEqualTypeOf<mysql2.PoolConnection>()
  })
  const onMariadb = createIdempotency({ store: mariadbStore(mariadbPool) }).currentRun()
  void onMariadb.stage('a', (tx) => {
    expectTypeOf(tx).toEqualTypeOf<mariadb.PoolConnection>()
  })
})

test('levels are those that keep a promise', () => {
  const run = createIdempotency({ store: mysql2Store(pool) }).currentRun()
  void run.stage('a', () => 1, { isolation: 'repeatable read' })
  // @ts-expect-error rows that are rolled back later would be read
  void run.stage('b', () => 1, { isolation: 'read uncommitted' })
})

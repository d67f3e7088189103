/** Goal: on SQLite `tx` is the connection itself, and there is no level of isolation to choose. */
import type BetterSqlite3 from 'better-sqlite3'
import type Libsql from 'libsql'
import { expectTypeOf, test } from 'vitest'
import { betterSqlite3Store } from '../../src/databases/better-sqlite3.ts'
import { libsqlStore } from '../../src/databases/libsql.ts'
import { createIdempotency } from '../../src/index.ts'

declare const db: BetterSqlite3.Database
declare const libsql: Libsql.Database

test('tx is the connection', () => {
  const run = createIdempotency({ store: betterSqlite3Store(db) }).currentRun()
  void run.stage('a', (tx) => {
    expectTypeOf(tx).toEqualTypeOf<BetterSqlite3.Database>()
  })
  const onLibsql = createIdempotency({ store: libsqlStore(libsql) }).currentRun()
  void onLibsql.stage('a', (tx) => {
    expectTypeOf(tx).toEqualTypeOf<Libsql.Database>()
  })
})

test('there is no level to choose', () => {
  const run = createIdempotency({ store: betterSqlite3Store(db) }).currentRun()
  // @ts-expect-error every transaction is serializable
  void run.stage('a', () => 1, { isolation: 'serializable' })
})

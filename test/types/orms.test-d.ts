/** Goal: with Drizzle, Sequelize and MikroORM `tx` is exactly the library's own, and wrong levels do not compile. */
import type { MikroORM as OnBetterSqlite } from '@mikro-orm/better-sqlite'
import type { MikroORM as OnLibsql } from '@mikro-orm/libsql'
import type { MikroORM as OnMariaDb } from '@mikro-orm/mariadb'
import type { MikroORM as OnMysql } from '@mikro-orm/mysql'
import type { MikroORM, SqlEntityManager } from '@mikro-orm/postgresql'
import type { BetterSQLite3Database } from 'drizzle-orm/better-sqlite3'
import type { MySql2Database } from 'drizzle-orm/mysql2'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { Sequelize, Transaction } from 'sequelize'
import { expectTypeOf, test } from 'vitest'
import { drizzleStore } from '../../src/databases/drizzle.ts'
import { mikroOrmStore } from '../../src/databases/mikro-orm.ts'
import { sequelizeStore } from '../../src/databases/sequelize.ts'
import { createIdempotency } from '../../src/index.ts'

declare const nodePg: NodePgDatabase
declare const mysql2: MySql2Database
declare const betterSqlite3: BetterSQLite3Database
declare const sequelize: Sequelize
declare const orm: MikroORM
declare const onMysql: OnMysql
declare const onMariaDb: OnMariaDb
declare const onBetterSqlite: OnBetterSqlite
declare const onLibsql: OnLibsql

test('Drizzle: what its own transaction gives; on better-sqlite3 the database', () => {
  const run = createIdempotency({ store: drizzleStore(nodePg) }).currentRun()
  void run.stage('a', (tx) => {
    expectTypeOf(tx).toEqualTypeOf<Parameters<Parameters<(typeof nodePg)['transaction']>[0]>[0]>()
  })
  const onMysql = createIdempotency({ store: drizzleStore(mysql2) }).currentRun()
  void onMysql.stage('a', (tx) => {
    expectTypeOf(tx).toEqualTypeOf<Parameters<Parameters<(typeof mysql2)['transaction']>[0]>[0]>()
  })
  const onSqlite = createIdempotency({ store: drizzleStore(betterSqlite3) }).currentRun()
  void onSqlite.stage('a', (tx) => {
    expectTypeOf(tx).toEqualTypeOf<BetterSQLite3Database>()
  })
  // @ts-expect-error rows that are rolled back later would be read
  void run.stage('b', () => 1, { isolation: 'read uncommitted' })
})

test('Sequelize: Transaction', () => {
  const store = sequelizeStore(sequelize)
  const run = createIdempotency({ store }).currentRun()
  void run.stage('a', (tx) => {
    expectTypeOf(tx).toEqualTypeOf<Transaction>()
  })
  // @ts-expect-error rows that are rolled back later would be read
  void run.stage('b', () => 1, { isolation: 'READ UNCOMMITTED' })
})

test('MikroORM: its EntityManager', () => {
  const run = createIdempotency({ store: mikroOrmStore(orm) }).currentRun()
  void run.stage('a', (em) => {
    expectTypeOf(em).toEqualTypeOf<(typeof orm)['em']>()
    expectTypeOf(em).toExtend<SqlEntityManager>()
  })
  void createIdempotency({ store: mikroOrmStore(onMysql) })
    .currentRun()
    .stage('a', (em) => expectTypeOf(em).toEqualTypeOf<(typeof onMysql)['em']>())
  void createIdempotency({ store: mikroOrmStore(onMariaDb) })
    .currentRun()
    .stage('a', (em) => expectTypeOf(em).toEqualTypeOf<(typeof onMariaDb)['em']>())
  void createIdempotency({ store: mikroOrmStore(onBetterSqlite) })
    .currentRun()
    .stage('a', (em) => expectTypeOf(em).toEqualTypeOf<(typeof onBetterSqlite)['em']>())
  void createIdempotency({ store: mikroOrmStore(onLibsql) })
    .currentRun()
    .stage('a', (em) => expectTypeOf(em).toEqualTypeOf<(typeof onLibsql)['em']>())
  // @ts-expect-error no such level
  void run.stage('b', () => 1, { isolation: 'snapshot' })
})

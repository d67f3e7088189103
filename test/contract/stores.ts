/** The stores every contract test runs on: the same suite, each library's own transaction. */
import BetterSqlite3 from 'better-sqlite3'
import Libsql from 'libsql'
import * as typeorm from 'typeorm'
import * as typeorm03 from 'typeorm03'
import { inject } from 'vitest'
import { betterSqlite3Store } from '../../src/databases/better-sqlite3.ts'
import { libsqlStore } from '../../src/databases/libsql.ts'
import { nodeSqliteStore } from '../../src/databases/node-sqlite.ts'
import type { SyncSqliteLike } from '../../src/sql/sync-sqlite.ts'
import { elsewhere } from '../support/elsewhere.ts'
import type { OpenStore } from './store-under-test.ts'
import { engineOf } from './engine-of.ts'
import { onMariaDb, onPostgres, onSqlite } from './engines.ts'
import { openDrizzle } from './stores-drizzle.ts'
import { openKnex } from './stores-knex.ts'
import { openKysely } from './stores-kysely.ts'
import { openMikroOrm } from './stores-mikro-orm.ts'
import { openMariadb, openMysql2 } from './stores-mysql.ts'
import { openPg, openPglite } from './stores-pg.ts'
import { openPrisma } from './stores-prisma.ts'
import { openSequelize } from './stores-sequelize.ts'
import { openPostgresJs } from './stores-postgres-js.ts'
import { openSqlite } from './stores-sqlite.ts'
import { openTypeorm } from './stores-typeorm.ts'

export type { OpenStore, Queries, SqlStoreUnderTest } from './store-under-test.ts'

/** The lowest of the peer's range. */
const lowest = typeorm03 as unknown as typeof typeorm

type NamedStore = readonly [name: string, open: OpenStore]

/** Only where the server is installed; CI fails without it. */
const ON_MARIADB: readonly NamedStore[] = [
  ['mysql2', () => openMysql2()],
  ['mariadb', openMariadb],
  ['kysely, mysql2', () => openKysely(onMariaDb())],
  ['knex, mysql2', () => openKnex(onMariaDb())],
  ['drizzle, mysql2', () => openDrizzle('mysql2', onMariaDb())],
  ['typeorm, mysql2', () => openTypeorm(typeorm, onMariaDb())],
  ['typeorm 0.3, mysql2', () => openTypeorm(lowest, onMariaDb())],
  ['sequelize, mysql2', () => openSequelize(onMariaDb())],
  ['prisma, mariadb', () => openPrisma(onMariaDb())],
  ['mikro-orm, mysql2', () => openMikroOrm('mysql', onMariaDb())],
  ['mikro-orm, mariadb', () => openMikroOrm('mariadb', onMariaDb())],
]

/** Node 22.16 and newer have it; CI runs it on one of them. */
const ON_NODE_SQLITE: readonly NamedStore[] = [
  [
    'node-sqlite',
    () =>
      openSqlite({
        open: (file) => new (nodeSqlite().DatabaseSync)(file),
        storeOf: nodeSqliteStore,
      }),
  ],
]

interface NodeSqlite {
  readonly DatabaseSync: new (file: string) => SyncSqliteLike & { close(): void }
}

function nodeSqlite(): NodeSqlite {
  return process.getBuiltinModule('node:sqlite') as unknown as NodeSqlite
}

/** Those of this machine. */
const ALL: readonly NamedStore[] = [
  ['pg', () => openPg(false)],
  ['pg, pipelined', () => openPg(true)],
  ['pglite', openPglite],
  ['typeorm', () => openTypeorm(typeorm, onPostgres())],
  ['typeorm 0.3', () => openTypeorm(lowest, onPostgres())],
  [
    'better-sqlite3',
    () =>
      openSqlite({
        open: (file) => new BetterSqlite3(file),
        openToRead: (file) => new BetterSqlite3(file, { readonly: true }),
        storeOf: betterSqlite3Store,
      }),
  ],
  ['libsql', () => openSqlite({ open: (file) => new Libsql(file), storeOf: libsqlStore })],
  ['typeorm, better-sqlite3', () => openTypeorm(typeorm, onSqlite())],
  ['typeorm 0.3, better-sqlite3', () => openTypeorm(lowest, onSqlite())],
  ['postgres.js', () => openPostgresJs()],
  ['kysely, pg', () => openKysely(onPostgres())],
  ['kysely, better-sqlite3', () => openKysely(onSqlite())],
  ['knex, pg', () => openKnex(onPostgres())],
  ['knex, better-sqlite3', () => openKnex(onSqlite())],
  ['drizzle, node-postgres', () => openDrizzle('node-postgres', onPostgres())],
  ['drizzle, postgres-js', () => openDrizzle('postgres-js', onPostgres())],
  ['drizzle, better-sqlite3', () => openDrizzle('better-sqlite3', onSqlite())],
  ['sequelize, pg', () => openSequelize(onPostgres())],
  ['mikro-orm', () => openMikroOrm('postgresql', onPostgres())],
  ['mikro-orm, better-sqlite3', () => openMikroOrm('better-sqlite', onSqlite())],
  [
    'mikro-orm, libsql',
    () =>
      openMikroOrm(
        'libsql',
        onSqlite((file) => new Libsql(file)),
      ),
  ],
  ['prisma', () => openPrisma(onPostgres())],
  ['prisma, better-sqlite3', () => openPrisma(onSqlite())],
  ...(inject('mariaDbUrl') === '' ? [] : ON_MARIADB),
  ...((nodeSqlite() as NodeSqlite | undefined) === undefined ? [] : ON_NODE_SQLITE),
]

/**
 * Each by name; with `PAWL_TEST_STORES`, those, between semicolons; on a database elsewhere, those that fit. A store that is
 * missing here is not tested: there is no skip.
 */
export const STORES: readonly NamedStore[] = chosen(process.env['PAWL_TEST_STORES'])

function chosen(wanted: string | undefined): readonly NamedStore[] {
  const given = elsewhere()
  const fitting = ALL.filter(([name]) => given === undefined || engineOf(name) === given.engine)
  if (wanted === undefined) return fitting
  return wanted.split(';').map((name) => {
    const store = fitting.find(([known]) => known === name)
    if (store !== undefined) return store
    const names = fitting.map(([known]) => `"${known}"`).join(', ')
    throw new Error(`there is no store "${name}" here; there are ${names}`)
  })
}

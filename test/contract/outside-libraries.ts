/** Each library with a handle that an application may take for `tx` by mistake, and the ways in which it would. */
import { PGlite } from '@electric-sql/pglite'
import { EntitySchema } from '@mikro-orm/core'
import { MikroORM as OnBetterSqlite } from '@mikro-orm/better-sqlite'
import { MikroORM as OnPostgres } from '@mikro-orm/postgresql'
import { PrismaPg } from '@prisma/adapter-pg'
import BetterSqlite3 from 'better-sqlite3'
import { sql as text } from 'drizzle-orm'
import { drizzle as onMysql2 } from 'drizzle-orm/mysql2'
import { drizzle as onNodePostgres } from 'drizzle-orm/node-postgres'
import { drizzle as onPglite } from 'drizzle-orm/pglite'
import { drizzle as onPostgresJs } from 'drizzle-orm/postgres-js'
import knex from 'knex'
import { CompiledQuery, Kysely, MysqlDialect, PostgresDialect, SqliteDialect } from 'kysely'
import * as mariadb from 'mariadb'
import { createPool } from 'mysql2'
import mysql2 from 'mysql2/promise'
import pg from 'pg'
import postgres from 'postgres'
import { Sequelize } from 'sequelize'
import * as typeorm from 'typeorm'
import * as typeorm03 from 'typeorm03'
import { drizzleStore } from '../../src/databases/drizzle.ts'
import { knexStore } from '../../src/databases/knex.ts'
import { kyselyStore } from '../../src/databases/kysely.ts'
import { mariadbStore } from '../../src/databases/mariadb.ts'
import { mikroOrmStore } from '../../src/databases/mikro-orm.ts'
import { mysql2Store } from '../../src/databases/mysql2.ts'
import { pgStore } from '../../src/databases/pg.ts'
import { pgliteStore } from '../../src/databases/pglite.ts'
import { postgresJsStore } from '../../src/databases/postgres.ts'
import { prismaStore } from '../../src/databases/prisma.ts'
import { sequelizeStore } from '../../src/databases/sequelize.ts'
import { typeormStore } from '../../src/databases/typeorm.ts'
import type { Store } from '../../src/index.ts'
import type { SqlStoreOptions } from '../../src/sql/sql-store.ts'
import { generatePrisma } from '../support/prisma.ts'
import { type Engine, onMariaDb, onPostgres, onSqlite } from './engines.ts'
import type { Sql } from './store-under-test.ts'

type Send = (statement: string) => unknown

/** A library, open. */
export interface Opened {
  readonly storeOf: (options: SqlStoreOptions) => Store<object, never>
  /** The wrong ones; the first is the usual one. */
  readonly ways: Readonly<Record<string, Send>>
  /** Those that only read. */
  readonly reads?: Readonly<Record<string, () => unknown>>
  /** The right one. */
  readonly within: (tx: never, statement: string) => unknown
  /** Behind its back. */
  readonly sql: Sql
  end(): Promise<unknown>
}

/** How it is opened. */
export interface Library {
  readonly open: () => Promise<Opened> | Opened
  /** One connection for all: beside an open stage there is none, and a wrong way would wait for ever. */
  readonly isAlone?: boolean
}

/** As a tag gets it. */
const templated = (statement: string): TemplateStringsArray =>
  Object.assign([statement], { raw: [statement] })

const onPool = (): Opened => {
  const engine = onPostgres()
  const pool = new pg.Pool({ connectionString: engine.at })
  return {
    storeOf: (options) => pgStore(pool, options),
    ways: {
      'pool.query': (statement) => pool.query(statement),
      'pool.query, with a callback': (statement) =>
        new Promise((resolve, reject) => {
          pool.query(statement, (error: unknown, result) =>
            error ? reject(error) : resolve(result),
          )
        }),
      'pool.connect': async (statement) => {
        const client = await pool.connect()
        await client.query(statement)
        client.release()
      },
      'pool.connect, with a callback': (statement) =>
        new Promise((resolve, reject) => {
          pool.connect((error, client, release) => {
            if (error !== undefined) return reject(error)
            client?.query(statement).then(resolve, reject).finally(release)
          })
        }),
    },
    within: (tx: pg.PoolClient, statement) => tx.query(statement),
    sql: engine.sql,
    end: () => Promise.all([pool.end(), engine.close()]),
  }
}

const onPGlite = async (): Promise<Opened> => {
  const db = await PGlite.create()
  return {
    storeOf: (options) => pgliteStore(db, options),
    ways: {
      'db.query': (statement) => db.query(statement),
      'db.exec': (statement) => db.exec(statement),
      'db.sql': (statement) => db.sql(templated(statement)),
      'db.transaction': (statement) => db.transaction((tx) => tx.query(statement)),
    },
    within: (tx: PGlite, statement) => tx.query(statement),
    sql: async (statement, values) => (await db.query(statement, values)).rows as never,
    end: () => db.close(),
  }
}

const onMysql2Pool = (): Opened => {
  const engine = onMariaDb()
  const pool = mysql2.createPool({ uri: engine.at })
  return {
    storeOf: (options) => mysql2Store(pool, options),
    ways: {
      'pool.query': (statement) => pool.query(statement),
      'pool.execute': (statement) => pool.execute(statement),
      'pool.getConnection': async (statement) => {
        const connection = await pool.getConnection()
        await connection.query(statement)
        connection.release()
      },
      'the pool below, with a callback': (statement) =>
        new Promise((resolve, reject) => {
          pool.pool.query(statement, (error, rows) =>
            error === null ? resolve(rows) : reject(error),
          )
        }),
      'the pool below, as a stream': (statement) =>
        new Promise((resolve, reject) => {
          pool.pool.query(statement).on('error', reject).on('end', resolve)
        }),
    },
    within: (tx: mysql2.PoolConnection, statement) => tx.query(statement),
    sql: engine.sql,
    end: () => Promise.all([pool.end(), engine.close()]),
  }
}

const onMariadbPool = (): Opened => {
  const engine = onMariaDb()
  const pool = mariadb.createPool(engine.at.replace('mysql:', 'mariadb:'))
  return {
    storeOf: (options) => mariadbStore(pool, options),
    ways: {
      'pool.query': (statement) => pool.query(statement),
      'pool.execute': (statement) => pool.execute(statement),
      'pool.batch': (statement) => pool.batch(statement.replace(/'[^']*'/, '?'), [['batch']]),
      'pool.getConnection': async (statement) => {
        const connection = await pool.getConnection()
        await connection.query(statement)
        await connection.release()
      },
    },
    within: (tx: mariadb.PoolConnection, statement) => tx.query(statement),
    sql: engine.sql,
    end: () => Promise.all([pool.end(), engine.close()]),
  }
}

const postgresJsWays = (sql: postgres.Sql): Opened['ways'] => ({
  'sql, as a tag': (statement) => sql(templated(statement)),
  'sql.unsafe': (statement) => sql.unsafe(statement),
  'sql.unsafe, nobody waits for it': async (statement) => {
    await sql.unsafe(statement).execute()
  },
  'sql.unsafe, as a cursor': (statement) => sql.unsafe(statement).cursor(() => undefined),
  'sql.begin': (statement) => sql.begin((tx) => tx.unsafe(statement)),
  'sql.reserve': async (statement) => {
    const reserved = await sql.reserve()
    await reserved.unsafe(statement)
    reserved.release()
  },
})

const onPostgresJsSql = (): Opened => {
  const engine = onPostgres()
  const sql = postgres(engine.at, { onnotice: () => undefined })
  return {
    storeOf: (options) => postgresJsStore(sql as never, options),
    ways: postgresJsWays(sql),
    within: (tx: postgres.Sql, statement) => tx.unsafe(statement),
    sql: engine.sql,
    end: () => Promise.all([sql.end(), engine.close()]),
  }
}

interface DrizzleLike {
  execute(query: unknown): Promise<unknown>
  transaction(work: (tx: DrizzleLike) => Promise<unknown>): Promise<unknown>
  readonly $client: { query?(statement: string): unknown; unsafe?(statement: string): unknown }
}

const drizzleOver = (opened: object, sql: Sql, end: () => Promise<unknown>): Opened => {
  const db = opened as DrizzleLike
  return {
    storeOf: (options) => drizzleStore(db as never, options),
    ways: {
      'db.execute': (statement) => db.execute(text.raw(statement)),
      'db.transaction': (statement) => db.transaction((tx) => tx.execute(text.raw(statement))),
      'db.$client': (statement) =>
        (db.$client.query ?? db.$client.unsafe)?.call(db.$client, statement),
    },
    within: (tx: DrizzleLike, statement) => tx.execute(text.raw(statement)),
    sql,
    end,
  }
}

const onDrizzlePg = (): Opened => {
  const engine = onPostgres()
  const pool = new pg.Pool({ connectionString: engine.at })
  const end = () => Promise.all([pool.end(), engine.close()])
  return drizzleOver(onNodePostgres(pool), engine.sql, end)
}

const onDrizzlePostgresJs = (): Opened => {
  const engine = onPostgres()
  const sql = postgres(engine.at, { onnotice: () => undefined })
  const end = () => Promise.all([sql.end(), engine.close()])
  return drizzleOver(onPostgresJs(sql), engine.sql, end)
}

const onDrizzlePglite = async (): Promise<Opened> => {
  const db = await PGlite.create()
  const sql: Sql = async (statement, values) => (await db.query(statement, values)).rows as never
  return drizzleOver(onPglite(db), sql, () => db.close())
}

/** @param pool - of `mysql2` or of `mysql2/promise`: Drizzle takes both */
const onDrizzleMysql2 = (poolOf: (uri: string) => { end(): unknown }) => (): Opened => {
  const engine = onMariaDb()
  const pool = poolOf(engine.at)
  const end = () => Promise.all([pool.end(), engine.close()])
  const opened = drizzleOver(onMysql2(pool as never), engine.sql, end)
  const { 'db.$client': _, ...ways } = opened.ways
  return { ...opened, ways }
}

const kyselyOn = (engine: Engine): Opened => {
  const dialects = {
    postgres: () => new PostgresDialect({ pool: new pg.Pool({ connectionString: engine.at }) }),
    mysql: () => new MysqlDialect({ pool: createPool({ uri: engine.at }) }),
    sqlite: () => new SqliteDialect({ database: new BetterSqlite3(engine.at) }),
  }
  const db = new Kysely<Record<string, { name: string }>>({ dialect: dialects[engine.name]() })
  const raw = (statement: string) => CompiledQuery.raw(statement)
  return {
    storeOf: (options) => kyselyStore(db, options),
    ways: {
      'db.executeQuery': (statement) => db.executeQuery(raw(statement)),
      'db.insertInto': (statement) => {
        const [, table = ''] = /into (\S+)/.exec(statement) ?? []
        return db.insertInto(table).values({ name: 'built' }).execute()
      },
      'db.transaction': (statement) =>
        db.transaction().execute((tx) => tx.executeQuery(raw(statement))),
      'db.connection': (statement) =>
        db.connection().execute((one) => one.executeQuery(raw(statement))),
      'db.withoutPlugins': (statement) => db.withoutPlugins().executeQuery(raw(statement)),
    },
    within: (tx: Kysely<unknown>, statement) => tx.executeQuery(raw(statement)),
    sql: engine.sql,
    end: () => Promise.all([db.destroy(), engine.close()]),
  }
}

const knexOn = (engine: Engine): Opened => {
  const clients = { postgres: 'pg', mysql: 'mysql2', sqlite: 'better-sqlite3' }
  const db = knex({
    client: clients[engine.name],
    connection: engine.name === 'sqlite' ? { filename: engine.at } : engine.at,
    useNullAsDefault: true,
  })
  return {
    storeOf: (options) => knexStore(db, options) as never,
    ways: {
      'knex.raw': (statement) => db.raw(statement),
      'knex(table)': (statement) => {
        const [, table = ''] = /into (\S+)/.exec(statement) ?? []
        return db(table).insert({ name: 'built' })
      },
      'knex.transaction': (statement) => db.transaction((tx) => tx.raw(statement)),
    },
    within: (tx: knex.Knex.Transaction, statement) => tx.raw(statement),
    sql: engine.sql,
    end: () => Promise.all([db.destroy(), engine.close()]),
  }
}

const typeormOn = async (
  lib: Pick<typeof typeorm, 'DataSource'>,
  { name, at, sql, close }: Engine,
): Promise<Opened> => {
  const dataSource = new lib.DataSource(
    name === 'sqlite' ? { type: 'better-sqlite3', database: at } : { type: name, url: at },
  )
  await dataSource.initialize()
  return {
    storeOf: (options) => typeormStore(dataSource, options),
    ways: {
      'dataSource.query': (statement) => dataSource.query(statement),
      'dataSource.manager': (statement) => dataSource.manager.query(statement),
      'dataSource.transaction': (statement) =>
        dataSource.transaction((manager) => manager.query(statement)),
      'dataSource.createQueryBuilder': (statement) => {
        const [, table = ''] = /into (\S+)/.exec(statement) ?? []
        return dataSource.createQueryBuilder().insert().into(table).values({ name: 'b' }).execute()
      },
      'dataSource.createQueryRunner': async (statement) => {
        const runner = dataSource.createQueryRunner()
        await runner.query(statement)
        await runner.release()
      },
    },
    within: (tx: typeorm.EntityManager, statement) => tx.query(statement),
    sql,
    end: () => Promise.all([dataSource.destroy(), close()]),
  }
}

const Effect = new EntitySchema<{ step: string }>({
  name: 'Effect',
  properties: { step: { type: 'string', primary: true } },
})

const mikroOrmOn = async (
  lib: Pick<typeof OnPostgres, 'init'>,
  { name, at, sql, close }: Engine,
): Promise<Opened> => {
  const orm = await lib.init({
    ...(name === 'sqlite' ? { dbName: at } : { clientUrl: at }),
    entities: [Effect],
    ensureDatabase: false,
    debug: false,
  })
  return {
    storeOf: (options) => mikroOrmStore(orm, options),
    ways: {
      'em.getConnection': (statement) => orm.em.getConnection().execute(statement),
      'em.fork': (statement) => orm.em.fork().execute(statement),
      'em.fork, a transaction': (statement) =>
        orm.em.fork().transactional((em) => em.execute(statement), { clear: true }),
    },
    // Inside, `orm.em` is that of the stage.
    within: async (tx: typeof orm.em, statement) => {
      await tx.execute('select 1')
      await orm.em.execute(statement)
    },
    sql,
    end: () => Promise.all([orm.close(), close()]),
  }
}

const sequelizeOn = (engine: Engine): Opened => {
  const sequelize = new Sequelize(engine.at, { logging: false })
  return {
    storeOf: (options) => sequelizeStore(sequelize, options),
    ways: {
      'sequelize.query': (statement) => sequelize.query(statement),
      'sequelize.getQueryInterface': (statement) => {
        const [, table = ''] = /into (\S+)/.exec(statement) ?? []
        return sequelize.getQueryInterface().bulkInsert(table, [{ name: 'built' }])
      },
      'sequelize.transaction': (statement) =>
        sequelize.transaction((transaction) => sequelize.query(statement, { transaction })),
    },
    within: (transaction, statement) => sequelize.query(statement, { transaction }),
    sql: engine.sql,
    end: () => Promise.all([sequelize.close(), engine.close()]),
  }
}

interface PrismaOfTest {
  $executeRawUnsafe(statement: string): Promise<unknown>
  $transaction(work: unknown): Promise<unknown>
  $extends(extension: object): PrismaOfTest
  $disconnect(): Promise<void>
  readonly prismaRide: { findMany(): Promise<unknown>; findUnique(query: object): Promise<unknown> }
}

const onPrisma = (): Opened => {
  const engine = onPostgres()
  const { PrismaClient, remove } = generatePrisma()
  const adapter = new PrismaPg({ connectionString: engine.at })
  const prisma = new PrismaClient({ adapter }) as unknown as PrismaOfTest
  const extended = prisma.$extends({ model: { prismaRide: { ours: () => 1 } } })
  return {
    storeOf: (options) => prismaStore(prisma as never, options),
    ways: {
      'prisma.$executeRawUnsafe': (statement) => prisma.$executeRawUnsafe(statement),
      'prisma.$transaction, a list': (statement) =>
        prisma.$transaction([prisma.$executeRawUnsafe(statement)]),
      'prisma.$transaction': (statement) =>
        prisma.$transaction((tx: PrismaOfTest) => tx.$executeRawUnsafe(statement)),
      'prisma.$extends': (statement) => extended.$executeRawUnsafe(statement),
    },
    reads: {
      'prisma.prismaRide.findMany': () => prisma.prismaRide.findMany(),
      'prisma.prismaRide.findUnique': () => prisma.prismaRide.findUnique({ where: { id: '1' } }),
    },
    within: async (tx: PrismaOfTest, statement) => {
      await tx.$executeRawUnsafe(statement)
      await tx.$transaction((nested: PrismaOfTest) => nested.$executeRawUnsafe('select 1'))
    },
    sql: engine.sql,
    end: async () => {
      await prisma.$disconnect()
      remove()
      await engine.close()
    },
  }
}

const lowest = typeorm03 as unknown as typeof typeorm

/** By name. */
export const LIBRARIES: Readonly<Record<string, Library>> = {
  pg: { open: onPool },
  pglite: { open: onPGlite, isAlone: true },
  mysql2: { open: onMysql2Pool },
  mariadb: { open: onMariadbPool },
  'postgres.js': { open: onPostgresJsSql },
  'drizzle, node-postgres': { open: onDrizzlePg },
  'drizzle, postgres-js': { open: onDrizzlePostgresJs },
  'drizzle, pglite': { open: onDrizzlePglite, isAlone: true },
  'drizzle, mysql2': { open: onDrizzleMysql2((uri) => createPool({ uri })) },
  'drizzle, mysql2/promise': { open: onDrizzleMysql2((uri) => mysql2.createPool({ uri })) },
  'kysely, pg': { open: () => kyselyOn(onPostgres()) },
  'kysely, mysql2': { open: () => kyselyOn(onMariaDb()) },
  'kysely, better-sqlite3': { open: () => kyselyOn(onSqlite()), isAlone: true },
  'knex, pg': { open: () => knexOn(onPostgres()) },
  'knex, mysql2': { open: () => knexOn(onMariaDb()) },
  'knex, better-sqlite3': { open: () => knexOn(onSqlite()), isAlone: true },
  typeorm: { open: () => typeormOn(typeorm, onPostgres()) },
  'typeorm 0.3': { open: () => typeormOn(lowest, onPostgres()) },
  'typeorm, mysql2': { open: () => typeormOn(typeorm, onMariaDb()) },
  'typeorm, better-sqlite3': { open: () => typeormOn(typeorm, onSqlite()), isAlone: true },
  'mikro-orm': { open: () => mikroOrmOn(OnPostgres, onPostgres()) },
  'mikro-orm, better-sqlite3': {
    open: () => mikroOrmOn(OnBetterSqlite, onSqlite()),
    isAlone: true,
  },
  'sequelize, pg': { open: () => sequelizeOn(onPostgres()) },
  'sequelize, mysql2': { open: () => sequelizeOn(onMariaDb()) },
  prisma: { open: onPrisma },
}

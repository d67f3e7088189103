/** The stores every contract test runs on: the same suite, each library's own transaction. */
import { PGlite } from '@electric-sql/pglite'
import pg from 'pg'
import * as typeorm from 'typeorm'
import * as typeorm03 from 'typeorm03'
import { inject } from 'vitest'
import { pgliteStore } from '../../src/databases/pglite.ts'
import { pgStore } from '../../src/databases/pg.ts'
import { typeormStore } from '../../src/databases/typeorm.ts'
import type { Store } from '../../src/core/store.ts'

/** What a test does on a transaction, whatever the library. */
export interface Queries {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>
}

/** A store under test. */
export interface StoreUnderTest {
  readonly store: Store<Queries, 'read committed' | 'repeatable read' | 'serializable'>
  /** Outside of any transaction of the store. */
  readonly sql: <Row = Record<string, unknown>>(text: string, values?: unknown[]) => Promise<Row[]>
  readonly table: string
  close(): Promise<void>
}

/** Opens a store on a fresh table. */
export type OpenStore = () => Promise<StoreUnderTest>

let tables = 0

function freshTable(): string {
  return `contract_${process.pid}_${String(++tables)}`
}

async function openPg(pipeline: boolean): Promise<StoreUnderTest> {
  const pool = new pg.Pool({ connectionString: inject('postgresUrl'), pipeline })
  const table = freshTable()
  const store = pgStore(pool, { table }) as unknown as StoreUnderTest['store']
  await store.migrate()
  const sql: StoreUnderTest['sql'] = async (text, values) =>
    (await pool.query(text, values)).rows as never
  await sql(`create table ${table}_effect (step text not null, attempt int not null)`)
  return {
    store,
    table,
    sql,
    close: async () => {
      await sql(`drop table ${table}, ${table}_migration, ${table}_effect`)
      await pool.end()
    },
  }
}

async function openPglite(): Promise<StoreUnderTest> {
  const db = await PGlite.create()
  const table = freshTable()
  const store = pgliteStore(db, { table }) as unknown as StoreUnderTest['store']
  await store.migrate()
  const sql: StoreUnderTest['sql'] = async (text, values) =>
    (await db.query(text, values)).rows as never
  await sql(`create table ${table}_effect (step text not null, attempt int not null)`)
  return { store, table, sql, close: () => db.close() }
}

/** The suite names levels as PostgreSQL does, TypeORM in capitals. */
function inCapitals(store: StoreUnderTest['store']): StoreUnderTest['store'] {
  type Options = { isolation: string | undefined }
  const capital = <O extends Options>(options: O): O => ({
    ...options,
    isolation: options.isolation?.toUpperCase(),
  })
  return new Proxy(store, {
    get: (target, name) => {
      if (name === 'commit')
        return (hold: never, options: Options, work: never) =>
          target.commit(hold, capital(options) as never, work)
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

/** 1.x and 0.3: the range of the peer. */
async function openTypeorm(lib: Pick<typeof typeorm, 'DataSource'>): Promise<StoreUnderTest> {
  const dataSource = new lib.DataSource({ type: 'postgres', url: inject('postgresUrl') })
  await dataSource.initialize()
  const table = freshTable()
  const store = typeormStore(dataSource, { table }) as unknown as StoreUnderTest['store']
  await store.migrate()
  const sql: StoreUnderTest['sql'] = (text, values) => dataSource.query(text, values)
  await sql(`create table ${table}_effect (step text not null, attempt int not null)`)
  return {
    store: inCapitals(store),
    table,
    sql,
    close: async () => {
      await sql(`drop table ${table}, ${table}_migration, ${table}_effect`)
      await dataSource.destroy()
    },
  }
}

/** Each by name. A store that is missing here is not tested: there is no skip. */
export const STORES: readonly (readonly [name: string, open: OpenStore])[] = [
  ['pg', () => openPg(false)],
  ['pg, pipelined', () => openPg(true)],
  ['pglite', openPglite],
  ['typeorm', () => openTypeorm(typeorm)],
  ['typeorm 0.3', () => openTypeorm(typeorm03 as unknown as typeof typeorm)],
]

/** What the contract suite needs of a store: itself, its rows behind its back, and an end. */
import type { Store } from '../../src/core/store.ts'
import type { StoreUnderTest } from '../../src/testing/store-under-test.ts'
import { POSTGRES, type Words } from './words.ts'

/** What a test does on a transaction, whatever the library. */
export interface Queries {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>
}

/** The suite names levels as PostgreSQL does. */
export type Isolation = 'read committed' | 'repeatable read' | 'serializable'

/** Outside of any transaction of the store. */
export type Sql = <Row = Record<string, unknown>>(
  text: string,
  values?: unknown[],
) => Promise<Row[]>

/** A store of SQL under test, and its rows behind its back. */
export interface SqlStoreUnderTest extends StoreUnderTest<Queries, Isolation> {
  readonly sql: Sql
  readonly table: string
  readonly words: Words
}

/** Opens a store on a fresh table. */
export type OpenStore = () => Promise<SqlStoreUnderTest>

/** How a library is opened. */
export interface Opening {
  readonly table: string
  readonly store: SqlStoreUnderTest['store']
  readonly sql: Sql
  /** Those of PostgreSQL by default. */
  readonly words?: Words
  /** The same store over connections that may only read. */
  readonly readOnly?: () => SqlStoreUnderTest['store']
  /** Ends its connections. */
  end(): Promise<void>
}

let tables = 0

/** A name that no other test has. */
export function freshTable(): string {
  return `contract_${process.pid}_${String(++tables)}`
}

/** Makes the tables; drops them at the end. */
export async function opened({
  table,
  store,
  sql,
  words = POSTGRES,
  readOnly,
  end,
}: Opening): Promise<SqlStoreUnderTest> {
  await store.migrate()
  await sql(`create table ${table}_effect (name text not null)`)
  const close = async (): Promise<void> => {
    for (const name of [table, `${table}_backlog`, `${table}_migration`, `${table}_effect`])
      await sql(`drop table ${name}`)
    await end()
  }
  const effects: SqlStoreUnderTest['effects'] = {
    add: (tx, name) => tx.query(`insert into ${table}_effect values ($1)`, [name]),
    committed: async () => {
      const rows = await sql<{ name: string }>(`select name from ${table}_effect`)
      return rows.map(({ name }) => name)
    },
  }
  const expire = (id: string): Promise<unknown> =>
    sql(`update ${table} set expires_at = ${words.longAgo} where id = $1`, [id])
  const { faults } = words
  const isolation = 'serializable'
  const only = readOnly && { readOnly: () => Promise.resolve(readOnly()) }
  return { store, effects, faults, isolation, expire, ...only, table, sql, words, close }
}

/** Over connections that have ended, and a table that nobody sees through them. */
export async function overClosed(open: OpenStore): Promise<SqlStoreUnderTest['store']> {
  const { store, close } = await open()
  await close()
  return store
}

/** How a library differs from what the suite says. */
export interface Manner<Tx> {
  /** A transaction of the library, in the words of the suite. */
  readonly queries?: (tx: Tx) => Queries
  /** The library's name of a level. */
  readonly isolation?: (level: Isolation) => string
}

/** A store of any library, in the words of the suite. */
export function inWordsOfSuite<Tx>(
  store: Store<Tx, never>,
  { queries, isolation }: Manner<Tx>,
): SqlStoreUnderTest['store'] {
  type Options = { readonly isolation: Isolation | undefined }
  const named = <O extends Options>(options: O): O => {
    if (options.isolation === undefined || isolation === undefined) return options
    return { ...options, isolation: isolation(options.isolation) }
  }
  const worded = (work: (tx: unknown) => unknown) => (tx: Tx) =>
    work(queries === undefined ? tx : queries(tx))
  return new Proxy(store as unknown as SqlStoreUnderTest['store'], {
    get: (target, name) => {
      if (name === 'commit')
        return (hold: never, options: Options, work: never) =>
          target.commit(hold, named(options), worded(work) as never)
      if (name === 'transaction')
        return (options: Options, work: never) =>
          target.transaction(named(options), worded(work) as never)
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

/** The database below the API of a conformance test, whatever the engine, in the words of PostgreSQL. */
import type { Store } from '../../src/index.ts'
import type { Queries } from '../contract/store-under-test.ts'
import type { Words } from '../contract/words.ts'
import { onMysql } from './app-database-mysql.ts'
import { onPostgres } from './app-database-postgres.ts'
import { onSqlite } from './app-database-sqlite.ts'
import { engineName, engineUrl } from './engine.ts'

/** A row, by column. */
export type Row = Readonly<Record<string, unknown>>

/** A connection of its own, outside of the store. */
export interface Connection {
  /** With `$1`, `$2` … for values. */
  query(text: string, values?: readonly unknown[]): Promise<readonly Row[]>
  end(): Promise<void>
}

/** What an app is built on. */
export interface AppDatabase {
  readonly store: (table: string) => Store<Queries>
  readonly words: Words
  /** Makes the table of the handlers' effects, where the run's setup has not. */
  readonly effects: string | undefined
  /** On any connection that is not inside a transaction. */
  readonly query: Connection['query']
  connect(): Promise<Connection>
  /** How many transactions of the app's own are open. */
  open(): Promise<number>
  /** Every connection is back, and no transaction is open. */
  expectQuiet(): Promise<void>
  end(): Promise<void>
}

/** How a database is reached. */
export interface DatabaseOptions {
  /** A URL; the engine's own by default. */
  readonly at?: string
  /** Of PostgreSQL: statements travel together. */
  readonly pipeline?: boolean
  /** How many connections at most; ten by default. */
  readonly max?: number
  /** Of SQLite: stands in for the driver's COMMIT. */
  readonly commit?: (commit: () => void) => void
  /** Nobody is there. */
  readonly down?: boolean
  /** Awaited before a record is claimed, or looked at. */
  readonly beforeLook?: () => Promise<void> | void
}

/** What a database of one engine needs to know. */
export type Reached = Omit<DatabaseOptions, 'at'> & {
  readonly at: string
  /** The name of the app, under which the server knows its connections. */
  readonly name: string
  /** It is not the engine's own server. */
  readonly elsewhere: boolean
}

let prepared = false

/** Makes what the engine lacks: the default table, and the one of the handlers' effects. Once for a test file. */
export async function prepare(database: AppDatabase): Promise<void> {
  if (prepared || database.effects === undefined) return
  await database.store('idempotency_key').migrate()
  await database.query(database.effects)
  prepared = true
}

/** @param name - of the app, under which the server knows its connections */
export function appDatabase(name: string, options: DatabaseOptions): AppDatabase {
  const engine = engineName()
  const at = options.at ?? engineUrl()
  const reached = { ...options, at, name, elsewhere: options.at !== undefined }
  switch (engine) {
    case 'postgres':
    case 'pgbouncer':
      return watched(onPostgres(reached), reached)
    case 'mysql2':
    case 'mariadb':
      return watched(onMysql(engine, reached), reached)
    case 'sqlite':
      return watched(onSqlite(reached), reached)
  }
}

function watched(database: AppDatabase, { beforeLook }: Reached): AppDatabase {
  if (beforeLook === undefined) return database
  const store: AppDatabase['store'] = (table) =>
    new Proxy(database.store(table), {
      get: (target, name) => {
        if (name === 'claim')
          return async (input: Parameters<typeof target.claim>[0]) => {
            await beforeLook()
            return await target.claim(input)
          }
        const value: unknown = Reflect.get(target, name)
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })
  return { ...database, store }
}

/** The database of an API process that is killed: its store, and how its handler writes; one for each engine. */
import { questionMarks } from '../../src/sql/placeholders.ts'
import type { Store } from '../../src/index.ts'

/** PgBouncer stands before PostgreSQL. `mysql2` and `mariadb` are the libraries, both on MariaDB. */
export type EngineName = 'postgres' | 'pgbouncer' | 'mysql2' | 'mariadb' | 'sqlite'

/** The transaction of a stage, in the words of PostgreSQL. */
export interface RidesTx {
  query(text: string, values: readonly unknown[]): Promise<unknown>
}

/** A store, and its transactions as a handler sees them. */
export interface RidesDatabase<Tx> {
  readonly store: Store<Tx>
  readonly tx: (tx: Tx) => RidesTx
}

/** How it is reached. */
export interface RidesOptions {
  readonly engine: EngineName
  /** A URL, or the path of a file. */
  readonly at: string
  /** Of PostgreSQL: statements travel together. */
  readonly pipeline: boolean
}

const POOL = 20

interface Executes {
  execute(text: string, values: never[]): Promise<unknown>
}

/** Each loads its own library only: a matrix of kills starts a hundred processes. */
export async function ridesDatabase(options: RidesOptions): Promise<RidesDatabase<unknown>> {
  const { engine, at, pipeline } = options
  switch (engine) {
    case 'postgres':
    case 'pgbouncer': {
      const { default: pg } = await import('pg')
      const { pgStore } = await import('../../src/databases/pg.ts')
      const pool = new pg.Pool({
        connectionString: at,
        max: POOL,
        ...(pipeline ? { pipeline } : {}),
      })
      // A stopped process keeps its session here, as where the server has no such limit: what holds must hold without.
      return {
        store: pgStore(pool, { stageTimeouts: { idle: false } }) as unknown as Store<unknown>,
        tx: (tx) => tx as RidesTx,
      }
    }
    case 'mysql2': {
      const { default: mysql2 } = await import('mysql2/promise')
      const { mysql2Store } = await import('../../src/databases/mysql2.ts')
      const pool = mysql2.createPool({ uri: at, connectionLimit: POOL })
      return { store: mysql2Store(pool) as unknown as Store<unknown>, tx: executing }
    }
    case 'mariadb': {
      const { default: mariadb } = await import('mariadb')
      const { mariadbStore } = await import('../../src/databases/mariadb.ts')
      const pool = mariadb.createPool(`${at.replace('mysql:', 'mariadb:')}?connectionLimit=${POOL}`)
      return { store: mariadbStore(pool) as unknown as Store<unknown>, tx: executing }
    }
    case 'sqlite': {
      const { default: BetterSqlite3 } = await import('better-sqlite3')
      const { betterSqlite3Store } = await import('../../src/databases/better-sqlite3.ts')
      const store = betterSqlite3Store(new BetterSqlite3(at)) as unknown as Store<unknown>
      return { store, tx: preparing }
    }
  }
}

function executing(tx: unknown): RidesTx {
  return {
    query: async (asked, bound) => {
      const { text, values } = questionMarks({ text: asked, values: bound })
      return await (tx as Executes).execute(text, values as never[])
    },
  }
}

function preparing(tx: unknown): RidesTx {
  interface Prepares {
    prepare(text: string): { run(...values: unknown[]): unknown }
  }
  return {
    query: async (asked, bound) => {
      const { text, values } = questionMarks({ text: asked, values: bound })
      return (tx as Prepares).prepare(text).run(...values)
    },
  }
}

/** A MariaDB of a lane's own, its tables, and what stands in them in the end. */
import mysql2, { type PoolConnection, type Pool } from 'mysql2/promise'
import { mysql2Store } from '../../src/databases/mysql2.ts'
import { type MariaDb, startMariaDb } from '../support/mariadb.ts'
import type { Evidence, RecordRow } from './ledger.ts'
import type { Effect, RidesOptions } from './rides.ts'

const EFFECTS = `create table effects (\`key\` varchar(255), stage varchar(100), attempt int, note text,
  nth bigint not null auto_increment primary key) collate utf8mb4_bin`

/** A running one. */
export interface RidesMariaDb extends Evidence {
  readonly server: MariaDb
  readonly pool: Pool
  query<Row>(text: string): Promise<readonly Row[]>
  remove(): Promise<void>
}

/** Starts one, with the tables made. */
export async function startRidesMariaDb(connections: number): Promise<RidesMariaDb> {
  const server = await startMariaDb()
  const pool = mysql2.createPool({ uri: server.url, connectionLimit: connections })
  const query = async <Row>(text: string): Promise<Row[]> => (await pool.query(text))[0] as Row[]
  await mysql2Store(pool).migrate()
  await query(EFFECTS)
  return {
    server,
    pool,
    query,
    effects: () => query<Effect>('select `key`, stage, attempt, note from effects'),
    records: () =>
      query<RecordRow>(
        'select idempotency_key as `key`, state, attempt, convert(response_body using utf8mb4) as body ' +
          'from idempotency_key',
      ),
    openTransactions: async () => {
      const [row] = await query<{ n: number }>(
        'select count(*) as n from information_schema.innodb_trx',
      )
      return row?.n ?? 0
    },
    remove: async () => {
      await pool.end()
      await server.remove()
    },
  }
}

/** What an API needs of a pool. */
export function overMariaDb(pool: Pool): Pick<RidesOptions<PoolConnection>, 'store' | 'insert'> {
  return {
    store: mysql2Store(pool),
    insert: (tx, { key, stage, attempt, note }) =>
      tx.execute('insert into effects (`key`, stage, attempt, note) values (?, ?, ?, ?)', [
        key,
        stage,
        attempt,
        note,
      ]),
  }
}

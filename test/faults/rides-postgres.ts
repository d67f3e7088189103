/** A PostgreSQL of a lane's own, its tables, and what stands in them in the end. */
import pg from 'pg'
import { pgStore } from '../../src/databases/pg.ts'
import { type Postgres, type PostgresOptions, startPostgres } from '../support/postgres.ts'
import { type Evidence, pause, type RecordRow } from './ledger.ts'
import type { Effect, RidesOptions } from './rides.ts'

/**
 * No machine loses its power here, and what a process has written outlives it, unsynced too. Lanes are bound by what the
 * processors do then. Lane F, in which the server itself crashes, says otherwise.
 */
const NO_SYNC = { fsync: 'off' }
/** By which the server tells the application's connections from those of the lane itself. */
const APPLICATION = 'rides'
const TRIES_MAX = 50
const TRIES_MS = 100

/** A running one. */
export interface RidesPostgres extends Evidence {
  readonly cluster: Postgres
  readonly url: string
  /** On a connection of the lane's own; again, while there is none. */
  query<Row>(text: string, values?: readonly unknown[]): Promise<readonly Row[]>
  remove(): Promise<void>
}

/**
 * Starts one, with the tables made.
 *
 * @param migrated - makes the tables of Pawl; as this version has them by default
 */
export async function startRidesPostgres(
  options: PostgresOptions = {},
  migrated: (pool: pg.Pool) => Promise<unknown> = (pool) => pgStore(pool).migrate(),
): Promise<RidesPostgres> {
  const cluster = await startPostgres({ ...options, settings: { ...NO_SYNC, ...options.settings } })
  const own = new pg.Pool({ connectionString: cluster.url, max: 2, application_name: 'lane' })
  own.on('error', () => undefined)
  await migrated(own)
  // No unique constraint: it would hide the very thing that is looked for.
  await own.query(`create table effects (key text, stage text, attempt int, note text)`)
  await own.query(
    `create table charges (nth bigserial, key text, downstream_key text, attempt int)`,
  )
  const query = async <Row>(text: string, values: readonly unknown[] = []): Promise<Row[]> => {
    for (let tries = 1; ; tries++) {
      try {
        return (await own.query(text, [...values])).rows as Row[]
      } catch (error) {
        // The lane may have ended the server, and with it the connections that were at rest.
        if (tries === TRIES_MAX) throw error
        await pause(TRIES_MS)
      }
    }
  }
  return {
    cluster,
    url: cluster.url,
    query,
    effects: () => query<Effect>('select key, stage, attempt, note from effects'),
    records: () =>
      query<RecordRow>(
        `select idempotency_key as key, state, attempt, convert_from(response_body, 'UTF8') as body
           from idempotency_key`,
      ),
    openTransactions: async () => {
      const [row] = await query<{ n: number }>(
        `select count(*)::int as n from pg_stat_activity where application_name = $1 and state <> 'idle'`,
        [APPLICATION],
      )
      return row?.n ?? 0
    },
    remove: async () => {
      await own.end()
      await cluster.remove()
    },
  }
}

/** A pool as an application has it. */
export function ridesPool(url: string, more: pg.PoolConfig = {}): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    application_name: APPLICATION,
    max: 5,
    ...more,
  })
  pool.on('error', () => undefined)
  return pool
}

/** What an API needs of a pool. */
export function overPool(pool: pg.Pool): Pick<RidesOptions<pg.PoolClient>, 'store' | 'insert'> {
  return {
    store: pgStore(pool),
    insert: (tx, { key, stage, attempt, note }) =>
      tx.query({
        name: 'effect',
        text: 'insert into effects (key, stage, attempt, note) values ($1, $2, $3, $4)',
        values: [key, stage, attempt, note],
      }),
  }
}

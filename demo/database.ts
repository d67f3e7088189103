/**
 * The demo's database: PostgreSQL inside the process (PGlite) in a folder, or the one at DATABASE_URL. Everything lives
 * in a schema of its own, so that nothing of the user's is touched and one statement removes it.
 */
import type { Store } from 'pawl'

export const SCHEMA = 'pawl_demo'
/** Marks the schema as ours: a `pawl_demo` that somebody else made is never dropped. */
const MARK = 'made by the Pawl demo (npm run demo)'
const CONNECT_TIMEOUT_MS = 5_000

/** What the demo asks of a connection and of a transaction, whichever driver it is. */
export interface Queries {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>
}

/** An open database, and Pawl's store in it. */
export interface DemoDatabase extends Queries {
  readonly store: Store<Queries>
  close(): Promise<void>
}

/** Where the data is: a folder, or a URL. */
export type DataPlace = { readonly folder: string } | { readonly url: string }

export async function openDatabase(place: DataPlace): Promise<DemoDatabase> {
  const options = { table: `${SCHEMA}.idempotency_key` }
  if ('folder' in place) {
    const { PGlite } = await import('@electric-sql/pglite')
    const { pgliteStore } = await import('pawl/pglite')
    const db = await PGlite.create(place.folder)
    return {
      store: pgliteStore(db, options),
      query: (text, values) => db.query(text, values),
      close: () => db.close(),
    }
  }
  const { default: pg } = await import('pg')
  const { pgStore } = await import('pawl/pg')
  const pool = new pg.Pool({
    connectionString: place.url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    max: 5,
  })
  return {
    store: pgStore(pool, options),
    query: (text, values) => pool.query(text, values),
    close: () => pool.end(),
  }
}

/** The application's own tables. Nothing in them stops a second ride or receipt: Pawl does. */
export async function createTables(db: Queries): Promise<void> {
  await db.query(`create schema if not exists ${SCHEMA}`)
  await db.query(
    `create table if not exists ${SCHEMA}.rides (
       id text primary key default 'ride_' || substr(md5(random()::text), 1, 8), rider text not null,
       destination text not null, fare int not null, charge_id text,
       booked_at timestamptz not null default clock_timestamp())`,
  )
  await db.query(
    `create table if not exists ${SCHEMA}.receipts (
       id text primary key default 'rcpt_' || substr(md5(random()::text), 1, 8), ride_id text not null,
       charge_id text not null, amount int not null)`,
  )
}

/**
 * Makes a fresh schema in the user's database; one that an interrupted demo left behind is replaced.
 *
 * @throws Error a schema of that name is there, and is not the demo's
 */
export async function createSchema(db: Queries): Promise<void> {
  const { rows } = await db.query(
    `select coalesce(obj_description(oid, 'pg_namespace'), '') as mark from pg_namespace where nspname = $1`,
    [SCHEMA],
  )
  const [found] = rows as { mark: string }[]
  if (found !== undefined && found.mark !== MARK) {
    throw new Error(
      `Your database has a schema "${SCHEMA}" that this demo did not make. Rename it, or use another database.`,
    )
  }
  await dropSchema(db)
  await db.query(`create schema ${SCHEMA}`)
  await db.query(`comment on schema ${SCHEMA} is '${MARK}'`)
}

export async function dropSchema(db: Queries): Promise<void> {
  await db.query('set client_min_messages = warning')
  await db.query(`drop schema if exists ${SCHEMA} cascade`)
}

/** What is in the tables. `answer` is the response that Pawl stored for the key, as bytes. */
export interface Counts {
  readonly rides: number
  readonly receipts: number
  /** The first ride's id. */
  readonly ride: string | null
  readonly answer: Uint8Array | undefined
}

export async function count(db: Queries, key: string): Promise<Counts> {
  const { rows } = await db.query(
    `select (select count(*)::int from ${SCHEMA}.rides) as rides,
            (select count(*)::int from ${SCHEMA}.receipts) as receipts,
            (select min(id) from ${SCHEMA}.rides) as ride,
            (select response_body from ${SCHEMA}.idempotency_key where idempotency_key = $1) as answer`,
    [key],
  )
  const [found] = rows as (Omit<Counts, 'answer'> & { answer: Uint8Array | null })[]
  if (found === undefined) throw new Error('the database did not say what it holds')
  return { ...found, answer: found.answer ?? undefined }
}

/** Host, port and database of a URL, without its password; for messages. */
export function placeOf(url: string): string {
  try {
    const { hostname, port, pathname } = new URL(url)
    return `${hostname}:${port || '5432'}${pathname}`
  } catch {
    return 'the given address'
  }
}

/**
 * A table with many finished records, made by SQL: copies of one that Pawl itself has finished, each under the id that
 * Pawl would give it. They expire over an hour: equal instants would make an index of their own kind.
 */
import type pg from 'pg'
import { createIdempotency } from 'pawl'
import { pgStore } from 'pawl/pg'
import { idOf } from '../src/core/identity.ts'
import { bookRide, RIDE } from './workloads.ts'

const BATCH = 20_000

/** Which records. */
export interface Filling {
  readonly table: string
  /** Of the keys: `keyOf(0)` to `keyOf(count - 1)` are there afterwards. */
  readonly keyOf: (at: number) => string
  readonly count: number
  /** Afterwards they are expired. */
  readonly expired?: boolean
}

/** Migrates the table, and fills it. */
export async function fill(
  pool: pg.Pool,
  { table, keyOf, count, expired = false }: Filling,
): Promise<void> {
  const store = pgStore(pool, { table })
  await store.migrate()
  const first = keyOf(0)
  await bookRide(createIdempotency({ store }), first)
  const { operation, scope } = RIDE
  const id = idOf({ operation, scope, key: first })
  if (expired) {
    await pool.query(
      `update ${table} set expires_at = clock_timestamp() - interval '1 day' where id = $1`,
      [id],
    )
  }
  const rest = await otherColumns(pool, table)
  for (let from = 1; from < count; from += BATCH) {
    const keys = Array.from({ length: Math.min(BATCH, count - from) }, (_, at) => keyOf(from + at))
    await pool.query(
      `insert into ${table} (id, idempotency_key, expires_at, ${rest})
       select fresh.id, fresh.key, expires_at - random() * interval '1 hour', ${rest}
         from unnest($1::text[], $2::text[]) as fresh(id, key),
              (select expires_at, ${rest} from ${table} where id = $3) as model`,
      [keys.map((key) => idOf({ operation, scope, key })), keys, id],
    )
  }
  await pool.query(`vacuum analyze ${table}`)
}

/** All but those that differ from record to record. */
async function otherColumns(pool: pg.Pool, table: string): Promise<string> {
  const { rows } = await pool.query<{ name: string }>(
    `select quote_ident(attname) as name
       from pg_attribute
      where attrelid = $1::regclass and attnum > 0 and not attisdropped and attgenerated = ''
        and attname not in ('id', 'idempotency_key', 'expires_at')`,
    [table],
  )
  return rows.map(({ name }) => name).join(', ')
}

/** Any of the keys. */
export function anyOf(keyOf: (at: number) => string, count: number): string {
  return keyOf(Math.floor(Math.random() * count))
}

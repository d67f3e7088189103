/** What requests leave on disk: HOT updates, the size of a row, write-ahead log. */
import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { createIdempotency } from 'pawl'
import { pgStore } from 'pawl/pg'
import { bookRide, insertBare, RIDE } from './workloads.ts'

const TABLE = 'bench_storage'
const CLIENTS = 32
const STAGES = 3
const STATISTICS_MS = 15_000

/** The whole of it. */
export interface Storage {
  readonly requests: number
  /** Updates of the table of keys, and those of them that touched no index. */
  readonly updates: number
  readonly hotUpdates: number
  readonly hotRatio: number
  /** Bytes of the table (with its TOAST) and of its indexes ÷ live rows; the table ÷ what VACUUM FULL makes of it. */
  readonly tableBytesPerRow: number
  readonly indexBytesPerRow: number
  readonly bloat: number
  /** Bytes of write-ahead log a request, full page images included. */
  readonly walBytes: Readonly<Record<string, number>>
}

/** Makes so many requests of each kind, on a table of their own. */
export async function measureStorage(url: string, requests: number): Promise<Storage> {
  const asking = new pg.Pool({ connectionString: url, max: 2 })
  const working = new pg.Pool({ connectionString: url, max: CLIENTS })
  try {
    const kinds = await kindsOf(working)
    const walBytes: Record<string, number> = {}
    for (const [name, request] of Object.entries(kinds)) {
      await many(requests / 4, request)
      const before = await walPosition(asking)
      await many(requests, request)
      walBytes[name] = Math.round(((await walPosition(asking)) - before) / requests)
    }
    // A session tells its counts at its end, if not before.
    await working.end()
    return { requests, ...(await tableOf(asking)), walBytes }
  } finally {
    if (!working.ended) await working.end()
    await asking.end()
  }
}

async function kindsOf(pool: pg.Pool): Promise<Record<string, () => Promise<unknown>>> {
  const store = pgStore(pool, { table: TABLE })
  await store.migrate()
  const idempotency = createIdempotency({ store })
  const replayed = randomUUID()
  await bookRide(idempotency, replayed)
  const staged = async () =>
    await idempotency.run({ ...RIDE, key: randomUUID() }, async (_, run) => {
      for (let n = 1; n <= STAGES; n++) {
        await run.stage(`stage_${String(n)}`, async (tx) => {
          await tx.query('insert into bench_ride (destination) values ($1)', ['Oslo'])
          return { n }
        })
      }
      return { status: 201, body: { to: 'Oslo' } }
    })
  return {
    'handler alone': () => insertBare(pool),
    'with Pawl': () => bookRide(idempotency, randomUUID()),
    [`with Pawl, ${String(STAGES)} stages`]: staged,
    'response only': () =>
      idempotency.run({ ...RIDE, key: randomUUID() }, () => ({
        status: 201,
        body: { to: 'Oslo' },
      })),
    replay: () => bookRide(idempotency, replayed),
  }
}

async function many(count: number, request: () => Promise<unknown>): Promise<void> {
  let left = Math.round(count)
  const client = async (): Promise<void> => {
    while (left-- > 0) await request()
  }
  await Promise.all(Array.from({ length: CLIENTS }, client))
}

async function walPosition(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ at: string }>(
    `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::text as at`,
  )
  return Number(rows[0]?.at)
}

async function tableOf(pool: pg.Pool): Promise<Omit<Storage, 'requests' | 'walBytes'>> {
  const { live } = await only<{ live: number }>(pool, `select count(*)::int as live from ${TABLE}`)
  const { updates, hot } = await statistics(pool, live)
  const sizes = `select pg_table_size('${TABLE}')::float8 as bytes, pg_indexes_size('${TABLE}')::float8 as indexes`
  const { bytes, indexes } = await only<{ bytes: number; indexes: number }>(pool, sizes)
  await pool.query(`vacuum full ${TABLE}`)
  const { bytes: least } = await only<{ bytes: number }>(pool, sizes)
  return {
    updates,
    hotUpdates: hot,
    hotRatio: hot / updates,
    tableBytesPerRow: Math.round(bytes / live),
    indexBytesPerRow: Math.round(indexes / live),
    bloat: bytes / least,
  }
}

/** Counts arrive late: they are all there when all inserts are. */
async function statistics(
  pool: pg.Pool,
  inserts: number,
): Promise<{ updates: number; hot: number }> {
  const until = performance.now() + STATISTICS_MS
  for (;;) {
    const { made, updates, hot } = await only<{ made: number; updates: number; hot: number }>(
      pool,
      `select n_tup_ins::int as made, n_tup_upd::int as updates, n_tup_hot_upd::int as hot
         from pg_stat_user_tables where relname = '${TABLE}'`,
    )
    if (made >= inserts) return { updates, hot }
    if (performance.now() > until) throw new Error('the statistics of the table did not arrive')
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

async function only<Row extends pg.QueryResultRow>(pool: pg.Pool, text: string): Promise<Row> {
  const { rows } = await pool.query<Row>(text)
  if (rows[0] === undefined) throw new Error('no row')
  return rows[0]
}

/**
 * The native libraries of SQL: Pawl's store over each, and the same row and the same transaction as its users write them
 * without Pawl, prepared where the library prepares. Both ways have the same pool.
 */
import { join } from 'node:path'
import type { ClaimInput, Store } from 'pawl'
import { stageWays } from './claims.ts'
import type { Opened } from './engines.ts'

const POOL = 32
/** Pawl's own table once more, so that columns, indexes and settings are the same. */
const BARE = { table: 'bench_bare' }
const COLUMNS = `
  id, idempotency_key, scope, operation, fingerprint, owner, request_method, request_path,
  attempt, state, recovery_point, stages, created_at, locked_at, locked_until, expires_at`

const POSTGRES = {
  row: `
    insert into bench_bare (${COLUMNS})
    values ($1, $2, $3, $4, $5, $6, $7, $8, 1, 'running', 'started', '{}', clock_timestamp(), clock_timestamp(),
            clock_timestamp() + $9::float8 * interval '1 millisecond',
            clock_timestamp() + $10::float8 * interval '1 millisecond')`,
  rides: 'create table ride (id bigserial primary key, destination text not null)',
  ride: 'insert into ride (destination) values ($1)',
}
const MYSQL = {
  row: `
    insert into bench_bare (${COLUMNS})
    values (?, ?, ?, ?, ?, ?, ?, ?, 1, 'running', 'started', '{}', utc_timestamp(6), utc_timestamp(6),
            utc_timestamp(6) + interval cast(? * 1000 as signed) microsecond,
            utc_timestamp(6) + interval cast(? * 1000 as signed) microsecond)`,
  rides: 'create table ride (id bigint auto_increment primary key, destination text not null)',
  ride: 'insert into ride (destination) values (?)',
}
const SQLITE_NOW = `cast(round(unixepoch('subsec') * 1000) as integer)`
const SQLITE = {
  row: `
    insert into bench_bare (${COLUMNS})
    values (?, ?, ?, ?, ?, ?, ?, ?, 1, 'running', 'started', '{}', ${SQLITE_NOW}, ${SQLITE_NOW},
            ${SQLITE_NOW} + cast(? as integer), ${SQLITE_NOW} + cast(? as integer))`,
  rides: 'create table ride (id integer primary key, destination text not null) strict',
  ride: 'insert into ride (destination) values (?)',
}
const TO = 'Oslo'

/** In the order of COLUMNS. */
function valuesOf(claim: ClaimInput): (string | number | null)[] {
  const { id, key, scope, operation, fingerprint, owner, method, path } = claim
  const request = [method ?? null, path ?? null]
  return [
    id,
    key,
    scope,
    operation,
    fingerprint,
    owner,
    ...request,
    claim.leaseMs,
    claim.retentionMs,
  ]
}

/** The table of records, and Pawl's own once more. */
async function migrated(...stores: readonly Pick<Store<never>, 'migrate'>[]): Promise<void> {
  for (const store of stores) await store.migrate()
}

export async function openPg(url: string, pipeline: boolean): Promise<Opened> {
  const [{ default: pg }, { pgStore }] = [await import('pg'), await import('pawl/pg')]
  const pool = new pg.Pool({ connectionString: url, max: POOL, pipeline })
  const store = pgStore(pool)
  await migrated(store, pgStore(pool, BARE))
  await pool.query(POSTGRES.rides)
  return {
    claims: {
      claim: (claim) => store.claim(claim),
      insert: (claim) =>
        pool.query({ name: 'bench_row', text: POSTGRES.row, values: valuesOf(claim) }),
    },
    stages: () =>
      stageWays(pipeline ? 'pawl/pg, pipelined' : 'pawl/pg', {
        store,
        within: (tx) => tx.query(POSTGRES.ride, [TO]),
        alone: async () => {
          const client = await pool.connect()
          try {
            await client.query('begin')
            await client.query(POSTGRES.ride, [TO])
            await client.query('commit')
          } finally {
            client.release()
          }
        },
      }),
    close: () => pool.end(),
  }
}

export async function openPostgresJs(url: string): Promise<Opened> {
  const { default: postgres } = await import('postgres')
  const { postgresJsStore } = await import('pawl/postgres')
  const sql = postgres(url, { max: POOL, onnotice: () => undefined })
  const store = postgresJsStore(sql)
  await migrated(store, postgresJsStore(sql, BARE))
  await sql.unsafe(POSTGRES.rides)
  return {
    claims: {
      claim: (claim) => store.claim(claim),
      insert: (claim) => sql.unsafe(POSTGRES.row, valuesOf(claim), { prepare: true }),
    },
    stages: () =>
      stageWays('pawl/postgres', {
        store,
        within: (tx) => tx`insert into ride (destination) values (${TO})`,
        alone: async () => {
          await sql.begin((tx) => tx`insert into ride (destination) values (${TO})`)
        },
      }),
    close: () => sql.end(),
  }
}

export async function openPglite(folder: string): Promise<Opened> {
  const { PGlite } = await import('@electric-sql/pglite')
  const { pgliteStore } = await import('pawl/pglite')
  const db = await PGlite.create(folder)
  const store = pgliteStore(db)
  await migrated(store, pgliteStore(db, BARE))
  await db.exec(POSTGRES.rides)
  const settings: Record<string, string> = {}
  for (const name of ['server_version', 'fsync', 'synchronous_commit']) {
    const { rows } = await db.query<Record<string, string>>(`show ${name}`)
    settings[name] = String(rows[0]?.[name])
  }
  return {
    settings,
    claims: {
      claim: (claim) => store.claim(claim),
      insert: (claim) => db.query(POSTGRES.row, valuesOf(claim)),
    },
    stages: () =>
      stageWays('pawl/pglite', {
        store,
        within: (tx) => tx.query(POSTGRES.ride, [TO]),
        alone: async () => {
          await db.transaction((tx) => tx.query(POSTGRES.ride, [TO]))
        },
      }),
    close: () => db.close(),
  }
}

/** What both libraries of MariaDB have. */
interface MysqlConnection {
  execute(text: string, values: (string | number | null)[]): Promise<unknown>
  beginTransaction(): Promise<void>
  commit(): Promise<void>
  release(): unknown
}

function mysqlAlone(pool: { getConnection(): Promise<MysqlConnection> }): () => Promise<void> {
  return async () => {
    const connection = await pool.getConnection()
    try {
      await connection.beginTransaction()
      await connection.execute(MYSQL.ride, [TO])
      await connection.commit()
    } finally {
      void connection.release()
    }
  }
}

export async function openMysql2(uri: string): Promise<Opened> {
  const { default: mysql2 } = await import('mysql2/promise')
  const { mysql2Store } = await import('pawl/mysql2')
  const pool = mysql2.createPool({ uri, connectionLimit: POOL })
  const store = mysql2Store(pool)
  await migrated(store, mysql2Store(pool, BARE))
  await pool.query(MYSQL.rides)
  return {
    claims: {
      claim: (claim) => store.claim(claim),
      insert: (claim) => pool.execute(MYSQL.row, valuesOf(claim)),
    },
    stages: () =>
      stageWays('pawl/mysql2', {
        store,
        within: (tx) => tx.execute(MYSQL.ride, [TO]),
        alone: mysqlAlone(pool),
      }),
    close: () => pool.end(),
  }
}

export async function openMariadb(url: string): Promise<Opened> {
  const mariadb = await import('mariadb')
  const { mariadbStore } = await import('pawl/mariadb')
  const pool = mariadb.createPool(
    `${url.replace('mysql:', 'mariadb:')}?connectionLimit=${String(POOL)}`,
  )
  const store = mariadbStore(pool)
  await migrated(store, mariadbStore(pool, BARE))
  await pool.query(MYSQL.rides)
  return {
    claims: {
      claim: (claim) => store.claim(claim),
      insert: (claim) => pool.execute(MYSQL.row, valuesOf(claim)),
    },
    stages: () =>
      stageWays('pawl/mariadb', {
        store,
        within: (tx) => tx.execute(MYSQL.ride, [TO]),
        alone: mysqlAlone(pool),
      }),
    close: () => pool.end(),
  }
}

/** What the libraries of SQLite have. */
interface Sqlite {
  exec(text: string): unknown
  prepare(text: string): { all(...values: never[]): unknown[]; run(...values: never[]): unknown }
  close(): unknown
}

/** Two connections to one file: Pawl's is its own. They work in turn, so neither waits for the other. */
async function openSqlite<Db extends Sqlite>(
  name: string,
  folder: string,
  open: (file: string) => Db,
  storeOf: (db: Db, options?: { readonly table: string }) => Store<Db, never>,
): Promise<Opened> {
  const [ours, theirs] = [open(join(folder, 'bench.db')), open(join(folder, 'bench.db'))]
  const store = storeOf(ours)
  await migrated(store, storeOf(ours, BARE))
  ours.exec(SQLITE.rides)
  theirs.exec('pragma journal_mode = wal')
  theirs.exec('pragma synchronous = full')
  const row = theirs.prepare(SQLITE.row)
  const [begin, commit] = [theirs.prepare('begin immediate'), theirs.prepare('commit')]
  const said = (db: Db, text: string): string =>
    String(Object.values(db.prepare(text).all()[0] as object)[0])
  const journal = said(theirs, 'pragma journal_mode')
  const level = said(theirs, 'pragma synchronous')
  const isSame =
    said(ours, 'pragma journal_mode') === journal && said(ours, 'pragma synchronous') === level
  if (!isSame) throw new Error('the two connections are not as durable as each other')
  const settings = {
    journal_mode: journal,
    synchronous: level === '2' ? 'full' : level,
    [`sqlite_version of ${name}`]: said(theirs, 'select sqlite_version()'),
  }
  return {
    settings,
    claims: {
      claim: (claim) => store.claim(claim),
      insert: (claim) => row.run(...(valuesOf(claim) as never[])),
    },
    stages: () =>
      stageWays(name, {
        store,
        within: (tx) => tx.prepare(SQLITE.ride).run(...([TO] as never[])),
        alone: () => {
          begin.run()
          theirs.prepare(SQLITE.ride).run(...([TO] as never[]))
          commit.run()
          return Promise.resolve()
        },
      }),
    close: () => {
      ours.close()
      theirs.close()
      return Promise.resolve()
    },
  }
}

export async function openBetterSqlite3(folder: string): Promise<Opened> {
  const { default: Database } = await import('better-sqlite3')
  const { betterSqlite3Store } = await import('pawl/better-sqlite3')
  const open = (file: string) => new Database(file)
  return await openSqlite('pawl/better-sqlite3', folder, open, betterSqlite3Store)
}

export async function openLibsql(folder: string): Promise<Opened> {
  const { default: Database } = await import('libsql')
  const { libsqlStore } = await import('pawl/libsql')
  return await openSqlite('pawl/libsql', folder, (file) => new Database(file), libsqlStore)
}

export async function openNodeSqlite(folder: string): Promise<Opened> {
  const node = process.getBuiltinModule('node:sqlite') as unknown as
    { readonly DatabaseSync: new (file: string) => Sqlite } | undefined
  if (node === undefined) {
    throw new Error(`Node ${process.version} has no node:sqlite: run with Node 22.16 or newer`)
  }
  const { nodeSqliteStore } = await import('pawl/node-sqlite')
  const open = (file: string) => new node.DatabaseSync(file)
  return await openSqlite('pawl/node-sqlite', folder, open, nodeSqliteStore)
}

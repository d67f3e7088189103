/**
 * Goal: the protocol holds where the database is more than one server, or is reached through a pooler. Method: the same
 * suite on a primary whose commits wait for a standby, and through PgBouncer in transaction mode, where each transaction
 * may be on another connection.
 */
import pg from 'pg'
import * as typeorm from 'typeorm'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { pgStore } from '../../src/databases/pg.ts'
import { typeormStore } from '../../src/databases/typeorm.ts'
import { testStore } from '../../src/testing/index.ts'
import { type Effect, expectOneOfEach, startLoad, worker } from '../support/load.ts'
import { type PgBouncer, startPgBouncer } from '../support/pgbouncer.ts'
import { type PostgresCluster, startPostgresCluster } from '../support/postgres-cluster.ts'
import { onPostgres } from './engines.ts'
import { openPg } from './stores-pg.ts'
import { openPostgresJs } from './stores-postgres-js.ts'
import { openTypeorm } from './stores-typeorm.ts'
import { freshTable, type OpenStore, overClosed } from './store-under-test.ts'

const CLIENTS = 24

const runner = { describe, test, beforeAll, afterAll }

/** One of each way to speak PostgreSQL's protocol, under the names of the generated table. */
function prove(where: string, stores: Readonly<Record<string, OpenStore>>, readOnly: boolean) {
  for (const [name, open] of Object.entries(stores)) {
    const parts = [
      ...(['effects', 'faults', 'isolation', 'closed'] as const),
      ...(readOnly && name.startsWith('pg') ? (['readOnly'] as const) : []),
    ]
    const opened = async () => ({ ...(await open()), closed: () => overClosed(open) })
    testStore(runner, { name: `${name}, ${where}`, open: opened, parts })
  }
}

let cluster: PostgresCluster
let pgBouncer: PgBouncer

beforeAll(async () => {
  cluster = await startPostgresCluster()
  pgBouncer = await startPgBouncer(inject('postgresUrl'))
})
afterAll(async () => {
  await cluster.remove()
  await pgBouncer.stop()
})

const onCluster = () => ({
  at: cluster.primary().url,
  toRead: { connectionString: cluster.standby().url },
})

prove(
  '2 synchronous standbys',
  {
    pg: () => openPg(false, onCluster()),
    'pg, pipelined': () => openPg(true, onCluster()),
    'postgres.js': () => openPostgresJs(onPostgres(cluster.primary().url)),
    typeorm: () => openTypeorm(typeorm, onPostgres(cluster.primary().url)),
  },
  true,
)

test('both standbys were synchronous to the end', async () => {
  expect(await cluster.synchronous()).toHaveLength(2)
})

/** It takes no settings of a session, so none of its connections is one that may only read. */
const throughPgBouncer = () => ({ at: pgBouncer.url, toRead: {} })

prove(
  'PgBouncer',
  {
    pg: () => openPg(false, throughPgBouncer()),
    'pg, pipelined': () => openPg(true, throughPgBouncer()),
    'postgres.js': () => openPostgresJs(onPostgres(pgBouncer.url), false),
    typeorm: () => openTypeorm(typeorm, onPostgres(pgBouncer.url)),
  },
  false,
)

const CLAIM = {
  scope: 'u1',
  operation: 'book',
  fingerprint: 'v1:',
  method: undefined,
  path: undefined,
  task: undefined,
  leaseMs: 10_000,
  retentionMs: 60_000,
}

/** Those that name statements of their own. */
const PREPARING = {
  pg: (table: string) => {
    const pool = new pg.Pool({ connectionString: pgBouncer.url })
    return Promise.resolve({ store: pgStore(pool, { table }), end: () => pool.end() })
  },
  typeorm: async (table: string) => {
    const dataSource = new typeorm.DataSource({ type: 'postgres', url: pgBouncer.url })
    await dataSource.initialize()
    return { store: typeormStore(dataSource, { table }), end: () => dataSource.destroy() }
  },
}

test('45 · 24 clients on 30 connections that share 20: one effect of each stage, one answer for each key', async () => {
  const pools = [false, true, false].map(
    (pipeline) => new pg.Pool({ connectionString: pgBouncer.url, pipeline }),
  )
  const [first] = pools as [pg.Pool]
  const table = freshTable()
  await pgStore(first, { table }).migrate()
  await first.query(`create table ${table}_effect (key text, stage text, note text)`)
  const workers = pools.map((pool) =>
    worker(pgStore(pool, { table }), (tx, { key, stage, note }) =>
      tx.query(`insert into ${table}_effect values ($1, $2, $3)`, [key, stage, note]),
    ),
  )

  const load = startLoad(workers, CLIENTS)
  await load.more(300)
  await load.settle()

  const { rows } = await first.query<Effect>(`select * from ${table}_effect`)
  expectOneOfEach(load, rows)
  await first.query(`drop table ${table}, ${table}_backlog, ${table}_migration, ${table}_effect`)
  await Promise.all(pools.map((pool) => pool.end()))
})

test.each(Object.entries(PREPARING))(
  '45 · %s prepares what another process has prepared on the same server connection: nothing fails',
  async (_library, open) => {
    const table = freshTable()
    type Opened = Awaited<ReturnType<typeof open>>['store']
    const id = `ikey_${table}`
    const owner = 'owner'
    const firsts: readonly ((store: Opened) => Promise<unknown>)[] = [
      (store) => store.migrate(),
      (store) => store.claim({ ...CLAIM, id, key: 'key', owner }),
      (store) => store.reread(id),
      (store) => store.heartbeat([{ id, owner, attempt: 1 }], 1_000),
    ]
    const first = await open(table)
    for (const ask of firsts) await ask(first.store)
    await first.end()
    // One after the other: PgBouncer gives the same server connection to each.
    for (const ask of firsts) {
      const { store, end } = await open(table)
      await ask(store)
      await end()
    }
  },
)

test('45 · PgBouncer was in transaction mode, and gave the transactions of one client to several connections', async () => {
  const clients = [0, 1].map(() => new pg.Client({ connectionString: pgBouncer.url }))
  const [first, second] = clients as [pg.Client, pg.Client]
  await Promise.all(clients.map((client) => client.connect()))
  const backendOf = async (client: pg.Client): Promise<unknown> =>
    (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid
  const own = await backendOf(first)
  await second.query('begin')
  const taken = await backendOf(second) // The one that was used last, and is first to be used again.
  const other = await backendOf(first)
  await second.query('rollback')
  expect(taken).toBe(own)
  expect(other).not.toBe(own)
  await Promise.all(clients.map((client) => client.end()))
})

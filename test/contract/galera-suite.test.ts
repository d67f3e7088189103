/**
 * Goal: the protocol holds on Galera with one writer, and what is promised holds with two. Method: the suite on one node
 * of three; clients who ask two nodes for the same key at one time; and a writer that is killed under load.
 */
import mysql2 from 'mysql2/promise'
import * as typeorm from 'typeorm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { mysql2Store } from '../../src/databases/mysql2.ts'
import { createIdempotency, type Failpoint, systemRuntime } from '../../src/index.ts'
import { testStore } from '../../src/testing/index.ts'
import { type Galera, startGalera } from '../support/galera.ts'
import {
  type Effect,
  expectOneOfEach,
  type Load,
  pause,
  said,
  startLoad,
  worker,
} from '../support/load.ts'
import type { MariaDb } from '../support/mariadb.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { onMariaDb } from './engines.ts'
import { openKysely } from './stores-kysely.ts'
import { openMysql2 } from './stores-mysql.ts'
import { openTypeorm } from './stores-typeorm.ts'
import { freshTable, type OpenStore, overClosed } from './store-under-test.ts'

const CLIENTS = 12
const ANSWERS = 60
const SUITE = ['effects', 'faults', 'isolation', 'closed', 'readOnly'] as const

let galera: Galera
beforeAll(async () => {
  galera = await startGalera()
}, 120_000)
afterAll(() => galera.remove())

const node = (nth: number): MariaDb => galera.nodes()[nth] as MariaDb

const open = () => openMysql2(node(0).url)
testStore(
  { describe, test, beforeAll, afterAll },
  {
    name: 'mysql2, Galera',
    open: async () => ({ ...(await open()), closed: () => overClosed(open) }),
    parts: SUITE,
  },
)

/** Tables of their own, a worker over each address, and the rows as the second node has them in the end. */
async function rides(urls: readonly string[]) {
  const table = freshTable()
  const pools = urls.map((uri) => mysql2.createPool({ uri, connectTimeout: 2_000 }))
  const [first] = pools as [mysql2.Pool]
  await mysql2Store(first, { table }).migrate()
  await first.query(`create table ${table}_effect (
    nth bigint primary key auto_increment, \`key\` text, stage text, note text)`)
  const workers = pools.map((pool) =>
    worker(mysql2Store(pool, { table }), (tx, { key, stage, note }) =>
      tx.execute(`insert into ${table}_effect (\`key\`, stage, note) values (?, ?, ?)`, [
        key,
        stage,
        note,
      ]),
    ),
  )
  const proved = async (load: Load): Promise<void> => {
    const reader = await mysql2.createConnection(node(1).url)
    await reader.query('set session wsrep_sync_wait = 1') // Not before it has all that the others committed.
    const [rows] = await reader.query(`select \`key\`, stage, note from ${table}_effect`)
    expectOneOfEach(load, rows as unknown as Effect[])
    await reader.end()
    await Promise.all(pools.map((pool) => pool.end()))
  }
  return { workers, proved }
}

/** One that writes BEGIN and COMMIT itself, and two whose transactions are their own. */
const LIBRARIES: Readonly<Record<string, (at: string) => ReturnType<OpenStore>>> = {
  mysql2: openMysql2,
  kysely: (at) => openKysely(onMariaDb(at)),
  typeorm: (at) => openTypeorm(typeorm, onMariaDb(at)),
}

/** What becomes of the error that tells a transaction it has lost against another node's. */
const LOSSES = ['thrown', 'swallowed', 'unseen'] as const

describe.each(Object.entries(LIBRARIES))('a transaction of %s that loses', (_library, openOn) => {
  test.each(LOSSES)('against a row of another node, %s: never acknowledged', async (loss) => {
    const { store, sql, table, effects, close } = await openOn(node(0).url)
    await sql(`create table ${table}_account (id int primary key, n int not null)`)
    await sql(`insert into ${table}_account values (1, 0)`)
    const other = mysql2.createPool({ uri: node(1).url, connectionLimit: 1 })
    await other.query('set session wsrep_sync_wait = 1')
    const here = mysql2.createPool({ uri: node(0).url, connectionLimit: 1 })
    await here.query('set session wsrep_sync_wait = 1')
    const request = { operation: 'book', scope: 'u1', key: 'k1', input: null }
    const idempotency = createIdempotency({ store })
    let tries = 0
    const book = () =>
      idempotency.run(request, async (_input, run) => {
        await run.stage('booked', async (tx) => {
          await tx.query(`update ${table}_account set n = n + 1 where id = 1`)
          if (++tries > 1) return void (await effects?.add(tx, 'k1'))
          await other.query(`select * from ${table}_account`)
          await other.query(`update ${table}_account set n = n + 10 where id = 1`)
          await here.query(`select * from ${table}_account`) // Now it is here, and has won.
          if (loss === 'unseen') return
          const lost = effects?.add(tx, 'k1')
          await expect(lost).rejects.toThrow(/[Dd]eadlock/)
          if (loss === 'thrown') await lost
        })
        return { body: 'done' }
      })

    const first = book()
    if (loss === 'swallowed')
      await expect(first).rejects.toMatchObject({ code: 'transaction_failed_inside' })
    expect(await (loss === 'swallowed' ? book() : first)).toMatchObject({ kind: 'finished' })
    expect(tries).toBe(2)
    expect(await effects?.committed()).toEqual(['k1'])
    expect(await sql(`select n from ${table}_account`)).toEqual([{ n: 11 }])
    await sql(`drop table ${table}_account`)
    await Promise.all([other.end(), here.end(), close()])
  })

  test('its record to another node, between fence and COMMIT: fenced', async () => {
    const { store, effects, table, close } = await openOn(node(0).url)
    const pool = mysql2.createPool(node(1).url)
    const elsewhere = createIdempotency({ store: mysql2Store(pool, { table }) })
    const request = { operation: 'book', scope: 'u1', key: 'k1', input: null }
    let passed = 0
    const failpoint = async (name: Failpoint): Promise<void> => {
      if (name !== 'stage.fence.after' || ++passed > 1) return
      for (;;) {
        const taken = await elsewhere.run(request, () => ({ body: 'elsewhere' }))
        if (taken.kind === 'finished') return
        await pause(50)
      }
    }
    const runtime = { ...systemRuntime, failpoint }
    const idempotency = createIdempotency({ store, runtime, lease: '250ms' })
    const lost = idempotency.run(request, async (_input, run) => {
      await run.stage('booked', (tx) => effects?.add(tx, 'k1'))
      return { body: 'here' }
    })
    await expect(lost).rejects.toMatchObject({ code: 'lease_lost' })
    expect(await effects?.committed()).toEqual([])
    await Promise.all([pool.end(), close()])
  })
})

/** Transactions of a node that lost against another's. */
async function conflictsOf(nth: number): Promise<number> {
  const connection = await mysql2.createConnection(node(nth).url)
  const [rows] = await connection.query(`
    show global status where variable_name in ('wsrep_local_cert_failures', 'wsrep_local_bf_aborts')`)
  await connection.end()
  return (rows as { Value: string }[]).reduce((sum, { Value }) => sum + Number(Value), 0)
}

test('two nodes are asked for one key at one time: one effect of each stage, one answer', async () => {
  const { workers, proved } = await rides([node(0).url, node(1).url])
  const before = (await conflictsOf(0)) + (await conflictsOf(1))
  const load = startLoad(workers, CLIENTS)
  await load.more(ANSWERS)
  await load.settle()
  await proved(load)
  const conflicts = -before + (await conflictsOf(0)) + (await conflictsOf(1))
  console.log(
    `Galera, two writers: ${load.answered.size} keys, ${conflicts} conflicts; ${said(load.others)}`,
  )
  expect(conflicts).toBeGreaterThan(0)
})

test(
  'the writer is killed under load and the application goes to another node: what was answered is replayed, each stage was committed once, every key ends',
  { timeout: 90_000 },
  async () => {
    const victim = node(0)
    const proxy = await startTcpProxy(victim.port)
    const address = victim.url.replace(String(victim.port), String(proxy.port))
    const { workers, proved } = await rides([address, address])
    const load = startLoad(workers, CLIENTS)
    await load.more(ANSWERS)
    expect(load.asking()).toBeGreaterThan(0)
    await galera.kill(victim)
    proxy.pointTo(node(0).port)
    await load.more(ANSWERS)
    await load.settle()
    await proved(load)
    console.log(`Galera, failover: ${load.answered.size} keys; ${said(load.others)}`)
    expect(load.others.get('store_unavailable')).toBeGreaterThan(0)
    await proxy.close()
  },
)

/**
 * Goal: a failover loses nothing that was answered, and doubles nothing. Method: clients book rides while the primary of
 * a cluster dies, three times; a standby is promoted, the clients' one address leads to it, and they try again. At the
 * end each answer is asked for once more, and the rows are counted.
 */
import pg from 'pg'
import * as typeorm from 'typeorm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pgStore } from '../../src/databases/pg.ts'
import { typeormStore } from '../../src/databases/typeorm.ts'
import { type Effect, expectOneOfEach, pause, said, startLoad, worker } from '../support/load.ts'
import {
  type Death,
  type PostgresCluster,
  startPostgresCluster,
} from '../support/postgres-cluster.ts'
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'

const CLIENTS = 16
const DEATHS: readonly Death[] = ['killed', 'stopped', 'killed']
const ANSWERS_BETWEEN = 40
/** How long a primary that is silent is believed to be alive. */
const DOUBT_MS = 500
const INSERT = 'insert into effect values ($1, $2, $3)'

let cluster: PostgresCluster
let proxy: TcpProxy
beforeAll(async () => {
  cluster = await startPostgresCluster()
  proxy = await startTcpProxy(cluster.primary().port)
})
afterAll(async () => {
  await proxy.close()
  await cluster.remove()
})

test(
  'the primary dies three times under load, killed, or stopped and fenced: what was answered is replayed, each stage was committed once, every key ends',
  { timeout: 120_000 },
  async () => {
    const url = `postgres://postgres@127.0.0.1:${String(proxy.port)}/postgres`
    const server = { connectionString: url, connectionTimeoutMillis: 2_000 }
    const pools = [new pg.Pool(server), new pg.Pool({ ...server, pipeline: true })]
    const dataSource = new typeorm.DataSource({ type: 'postgres', url, connectTimeoutMS: 2_000 })
    await dataSource.initialize()
    const [first] = pools as [pg.Pool]
    await pgStore(first).migrate()
    await first.query('create table effect (key text, stage text, note text)')
    const values = ({ key, stage, note }: Effect): string[] => [key, stage, note]
    const workers = [
      ...pools.map((pool) =>
        worker(pgStore(pool), (tx, effect) => tx.query(INSERT, values(effect))),
      ),
      worker(typeormStore(dataSource), (tx, effect) => tx.query(INSERT, values(effect))),
    ]

    const load = startLoad(workers, CLIENTS)
    for (const how of DEATHS) {
      await load.more(ANSWERS_BETWEEN)
      const said = total(load.others)
      expect(load.asking()).toBeGreaterThan(0)
      await cluster.lose(how)
      await pause(DOUBT_MS) // What it had sent arrives.
      const answered = load.answered.size
      const { port } = await cluster.promote()
      expect(load.answered.size).toBe(answered)
      proxy.pointTo(port)
      await load.more(ANSWERS_BETWEEN)
      expect(total(load.others)).toBeGreaterThan(said)
      await cluster.replace()
    }
    await load.settle()

    const { rows } = await first.query<Effect>('select * from effect')
    expectOneOfEach(load, rows)
    console.log(
      `failover: ${load.answered.size} keys, ${load.replays()} replays; ${said(load.others)}`,
    )
    await Promise.all([...pools.map((pool) => pool.end()), dataSource.destroy()])
  },
)

function total(others: ReadonlyMap<string, number>): number {
  return [...others.values()].reduce((sum, count) => sum + count, 0)
}

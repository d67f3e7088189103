/**
 * Goal: BEGIN travels with the first statement of a stage, and no statement of a stage ever runs outside of its
 * transaction, whatever comes first and whatever becomes of BEGIN. Method: real servers, pools with and without
 * pipelining; rows of stages that fail are looked for, and a server that has forgotten what BEGIN is called.
 */
import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest'
import { pgStore } from '../../src/databases/pg.ts'
import { createIdempotency } from '../../src/index.ts'
import { ConnectionLostError } from '../../src/sql/database.ts'
import { PgTransactions } from '../../src/sql/pg-transaction.ts'
import { listenToErrors } from '../../src/sql/pool-errors.ts'
import { PreparedStatements } from '../../src/sql/prepared.ts'
import { startPostgres } from '../support/postgres.ts'
import { freshTable } from './store-under-test.ts'

const ROWS = `deferred_${String(process.pid)}`
const ADD = `insert into ${ROWS} (note) values ($1)`
const add = (note: string): string => `insert into ${ROWS} (note) values ('${note}')`

let admin: pg.Pool

beforeAll(async () => {
  admin = new pg.Pool({ connectionString: inject('postgresUrl'), max: 1 })
  await admin.query(`create table ${ROWS} (note text not null)`)
})

afterAll(async () => {
  await admin.query(`drop table ${ROWS}`)
  await admin.end()
})

/** What is kept of a note. */
async function kept(note: string): Promise<number> {
  const { rowCount } = await admin.query(`select from ${ROWS} where note like $1`, [`${note}%`])
  return rowCount ?? 0
}

type Tx = pg.PoolClient

/** The server forgets what was prepared, once. */
function forgetting(pool: pg.Pool): () => Promise<unknown> {
  return () => pool.query('deallocate all')
}

/** Ways to use the handle first; each leaves one row a letter. */
const FIRST: readonly (readonly [how: string, use: (tx: Tx, note: string) => Promise<unknown>])[] =
  [
    ['a statement with values', (tx, note) => tx.query(ADD, [note])],
    ['a statement without values', (tx, note) => tx.query(add(note))],
    ['a named statement', (tx, note) => tx.query({ name: `n${note}`, text: add(note) })],
    ['a config with values', (tx, note) => tx.query({ text: ADD, values: [note] })],
    [
      'another member of the client',
      (tx, note) => tx.query(add(tx.escapeIdentifier(note).slice(1, -1))),
    ],
    [
      'a callback',
      (tx, note) =>
        new Promise((resolve, reject) => {
          tx.query(add(note), (error: Error | null) => (error ? reject(error) : resolve(undefined)))
        }),
    ],
    [
      'a callback, and values',
      (tx, note) =>
        new Promise((resolve, reject) => {
          tx.query(ADD, [note], (error: Error | null) =>
            error ? reject(error) : resolve(undefined),
          )
        }),
    ],
    [
      'a query that writes itself',
      (tx, note) =>
        new Promise((resolve, reject) => {
          const query = new pg.Query(ADD, [note])
          query.on('end', () => resolve(undefined))
          query.on('error', reject)
          if (tx.query(query) !== query) reject(new Error('another query'))
        }),
    ],
    [
      'the query of the class',
      (tx, note) => Reflect.apply(pg.Client.prototype.query, tx, [ADD, [note]]) as never,
    ],
    [
      'many at once',
      (tx, note) => Promise.all([tx.query(add(note)), tx.query(ADD, [note]), tx.query(add(note))]),
    ],
    [
      'many at once, with values first',
      (tx, note) =>
        Promise.all([tx.query(ADD, [note]), tx.query(add(note)), tx.query(ADD, [note])]),
    ],
  ]

/** A pool whose one connection has prepared all that is ever sent in front. */
async function openedWith(config: pg.PoolConfig) {
  const pool = new pg.Pool({ connectionString: inject('postgresUrl'), max: 1, ...config })
  const store = pgStore(pool, { table: freshTable() })
  await store.migrate()
  const idempotency = createIdempotency({ store })
  onTestFinished(async () => {
    await idempotency.close({ wait: 0 })
    await pool.end()
  })
  let keys = 0
  const run = (work: (tx: Tx) => Promise<unknown>, claimed?: () => Promise<unknown>) => {
    const key = `k${String(++keys)}`
    return idempotency.run({ operation: 'o', scope: 's', key, input: null }, async (__, one) => {
      await claimed?.()
      return await one.finish(async (tx) => {
        await work(tx)
        return { body: key }
      })
    })
  }
  // Twice: the connection has prepared all that is ever sent in front.
  for (let times = 0; times < 2; times++) await run((tx) => tx.query('select $1::int', [1]))
  return { pool, idempotency, run }
}

describe.each([
  ['an ordinary pool', {}],
  ['a pool with pipelining', { pipeline: true }],
])('%s', (_, config) => {
  const pipelined = 'pipeline' in config
  const opened = () => openedWith(config)

  test.each(FIRST)('%s, first in a stage, is in its transaction', async (__, use) => {
    const { run } = await opened()
    const [lost, found] = [randomUUID(), randomUUID()]
    const stop = run(async (tx) => {
      await use(tx, lost)
      throw new Error('stop')
    })
    await expect(stop).rejects.toThrow('stop')
    await run((tx) => use(tx, found))
    expect([await kept(lost), (await kept(found)) > 0]).toEqual([0, true])
  })

  test.each(FIRST)(
    '%s, left behind by a stage that fails at once, keeps nothing',
    async (__, use) => {
      const { run, pool } = await opened()
      const note = randomUUID()
      let left: Promise<unknown> | undefined
      const stop = run((tx) => {
        left = use(tx, note).catch(() => undefined)
        return Promise.reject(new Error('stop'))
      })
      await expect(stop).rejects.toThrow('stop')
      await Promise.race([left, new Promise((resolve) => setTimeout(resolve, 50))])
      await pool.query('select 1')
      expect(await kept(note)).toBe(0)
    },
  )

  test('a stage without a statement finishes', async () => {
    const { run } = await opened()
    expect(await run(() => Promise.resolve())).toMatchObject({ kind: 'finished', replayed: false })
  })

  test('a stage without a statement that fails leaves its connection as it was', async () => {
    const { run, pool } = await opened()
    await expect(run(() => Promise.reject(new Error('stop')))).rejects.toThrow('stop')
    const { rows } = await pool.query('select now() = statement_timestamp() as alone')
    expect(rows).toEqual([{ alone: true }])
  })

  test('an error of the first statement is that statement’s own', async () => {
    const { run } = await opened()
    const refused = run((tx) =>
      tx.query('select 1 / $1::int', [0]).catch(() => tx.query('select 1')),
    )
    await expect(refused).rejects.toMatchObject({ code: '25P02' })
    await expect(run((tx) => tx.query('select $1 from nowhere', [1]))).rejects.toMatchObject({
      code: '42P01',
    })
  })

  test.each(FIRST)(
    'what was prepared is forgotten → %s is not kept of that try, and the stage is tried again',
    async (__, use) => {
      const { run, pool } = await opened()
      const note = randomUUID()
      let tries = 0
      const answer = run(async (tx) => {
        tries++
        await use(tx, `${note}-${String(tries)}`)
      }, forgetting(pool))
      await answer
      expect(await kept(`${note}-1`)).toBe(0)
      expect(await kept(`${note}-2`)).toBeGreaterThan(0)
      expect(tries).toBe(2)
    },
  )

  test('what was prepared is forgotten, and the work makes nothing of it → nothing is kept of that try', async () => {
    const { run, pool } = await opened()
    const note = randomUUID()
    let tries = 0
    await run(async (tx) => {
      tries++
      await tx.query(ADD, [`${note}-${String(tries)}`]).catch(() => undefined)
      await tx.query(ADD, [`${note}-${String(tries)}-more`]).catch(() => undefined)
    }, forgetting(pool))
    expect([tries, await kept(`${note}-1`), await kept(`${note}-2`)]).toEqual([2, 0, 2])
  })

  test.each(FIRST)(
    '%s, not awaited by a stage that returns at once, is kept with it',
    async (how, use) => {
      const { run } = await opened()
      const note = randomUUID()
      let left: Promise<unknown> | undefined
      await run((tx) => {
        left = use(tx, note)
        return Promise.resolve()
      })
      await left
      expect(await kept(note)).toBe(how.startsWith('many') ? 3 : 1)
    },
  )

  test.each(FIRST)(
    'what was prepared is forgotten → %s, not awaited, and the record are kept together',
    async (__, use) => {
      const { run, pool } = await opened()
      const note = randomUUID()
      let tries = 0
      const answer = run((tx) => {
        tries++
        use(tx, `${note}-${String(tries)}`).catch(() => undefined)
        return Promise.resolve()
      }, forgetting(pool))
      expect(await answer).toMatchObject({ kind: 'finished' })
      expect([tries, await kept(`${note}-1`)]).toEqual([2, 0])
      expect(await kept(`${note}-2`)).toBeGreaterThan(0)
    },
  )

  test('what was prepared is forgotten in a stage without a statement → tried again', async () => {
    const { run, pool } = await opened()
    let tries = 0
    await run(() => Promise.resolve(void tries++), forgetting(pool))
    expect(tries).toBe(2)
  })

  test.each<[string, (tx: Tx) => unknown]>([
    ['a member of the client', (tx) => tx.escapeLiteral('x')],
    ['what pg keeps for itself', (tx) => Reflect.get(tx, 'connection')],
    ['all of its members', (tx) => Object.keys(tx).map((name): unknown => Reflect.get(tx, name))],
  ])('%s, read when a stage without a statement is over, begins nothing', async (__, read) => {
    const { run, pool } = await opened()
    for (const work of [() => Promise.reject(new Error('stop')), () => Promise.resolve()]) {
      let handle: Tx | undefined
      await run((tx) => {
        handle = tx
        return work()
      }).catch(() => undefined)
      if (handle === undefined) throw new Error('no stage')
      read(handle)
      await expect(handle.query(ADD, ['late'])).rejects.toMatchObject({ code: 'transaction_ended' })
      const { rows } = await pool.query('select now() = statement_timestamp() as alone')
      expect(rows).toEqual([{ alone: true }])
    }
  })

  test.each<[string, (tx: Tx) => unknown]>([
    ['a name that means something else', (tx) => tx.query({ name: 'other', text: 'select 2' })],
    ['values that are no array', (tx) => tx.query({ text: 'select $1', values: 'x' } as never)],
    ['nothing', (tx) => tx.query(null as never)],
    ['rows at a time', (tx) => tx.query({ text: 'select $1::int', values: [1], rows: 1 } as never)],
  ])('%s, asked first and refused by the client, leaves the stage as it was', async (__, ask) => {
    const { run } = await opened()
    await run((tx) => tx.query({ name: 'other', text: 'select 1' }))
    const note = randomUUID()
    const tried = async (tx: Tx): Promise<void> => {
      try {
        await ask(tx)
      } catch {
        // As an application that makes nothing of it.
      }
    }
    await run(tried)
    await run(async (tx) => {
      await tried(tx)
      await tx.query(ADD, [note])
    })
    expect(await kept(note)).toBe(1)
    const stop = run(async (tx) => {
      await tried(tx)
      await tx.query(ADD, [`${note} lost`])
      throw new Error('stop')
    })
    await expect(stop).rejects.toThrow('stop')
    expect(await kept(note)).toBe(1)
  })

  describe('BEGIN is refused', () => {
    async function refusedBehind(work: (tx: Tx) => Promise<unknown>): Promise<unknown> {
      const { pool } = await opened()
      const client = await pool.connect()
      const prepared = new PreparedStatements(false)
      const opening = { isolation: 'nonsense' }
      return await new PgTransactions({ prepared, pipelined })
        .run(client, opening, async (tx) => ({ value: await work(tx) }))
        .then(
          () => 'committed',
          (error: unknown) => error,
        )
    }

    test.each(FIRST.filter(([how]) => !/many|class/.test(how)))(
      'nothing is kept of %s, and the stage may be tried again',
      async (__, use) => {
        const note = randomUUID()
        const error = await refusedBehind((tx) => use(tx, note).catch(() => undefined))
        expect(error).toBeInstanceOf(ConnectionLostError)
        expect(await kept(note)).toBe(0)
      },
    )

    test.each(FIRST.filter(([how]) => /many|class/.test(how)))(
      'of %s, nothing is kept, or it is said that there may be',
      async (__, use) => {
        const note = randomUUID()
        const error = await refusedBehind(async (tx) => {
          await Promise.all([tx.query(ADD, [note]), use(tx, note)]).catch(() => undefined)
        })
        if (pipelined) expect(error).toMatchObject({ code: 'store_failed' })
        else {
          expect(error).toBeInstanceOf(ConnectionLostError)
          expect(await kept(note)).toBe(0)
        }
      },
    )
  })

  test('the connection ends before BEGIN is answered → tried again', async () => {
    const { run } = await opened()
    const note = randomUUID()
    let tries = 0
    await run(async (tx) => {
      tries++
      const both = [tx.query(ADD, [note]), tx.query(ADD, [note])]
      if (tries === 1) Reflect.get(tx, 'connection').stream.destroy()
      await Promise.all(both)
    })
    expect([tries, await kept(note)]).toEqual([2, 2])
  })

  test('a server that is silent holds a stage no longer than the client waits', async () => {
    const server = await startPostgres()
    onTestFinished(() => server.remove())
    const pool = new pg.Pool({
      connectionString: server.url,
      max: 1,
      query_timeout: 300,
      ...config,
    })
    onTestFinished(() => pool.end())
    listenToErrors(pool)
    const prepared = new PreparedStatements(true)
    const transactions = new PgTransactions({ prepared, pipelined })
    const once = (work: (tx: Tx) => Promise<unknown>) =>
      pool.connect().then((client) =>
        transactions.run(client, { isolation: undefined }, async (tx) => ({
          value: await work(tx),
        })),
      )
    await once((tx) => tx.query('select $1::int', [1]))
    const silent = once(async (tx) => {
      server.freeze()
      await tx.query('select $1::int', [1]).catch(() => undefined)
    })
    await expect(silent).rejects.toBeInstanceOf(ConnectionLostError)
    await server.crash()
  })
})

test('what reads its answers from the connection by itself does not read BEGIN’s', async () => {
  const { run } = await openedWith({})
  const seen: string[] = []
  await run(
    (tx) =>
      new Promise((resolve, reject) => {
        const query = Object.assign(new pg.Query(ADD, [randomUUID()]), {
          submit(connection: pg.Connection) {
            connection.stream.once('data', (bytes: Buffer) => {
              seen.push(String.fromCharCode(bytes[0] ?? 0))
            })
            pg.Query.prototype.submit.call(this, connection)
            return null
          },
        })
        query.on('end', () => resolve(undefined))
        query.on('error', reject)
        tx.query(query)
      }),
  )
  expect(seen).toEqual(['1']) // ParseComplete, of the query itself.
})

describe('what is kept of a BEGIN for the next one', () => {
  /** Clients that have prepared BEGIN at this level, and their transactions. */
  async function prepared(count: number) {
    const pool = new pg.Pool({ connectionString: inject('postgresUrl'), max: count })
    onTestFinished(() => pool.end())
    const statements = new PreparedStatements(true)
    const transactions = new PgTransactions({ prepared: statements, pipelined: false })
    const run = async <R>(
      client: pg.PoolClient,
      work: (tx: Tx) => Promise<R>,
      isolation?: string,
    ) => await transactions.run(client, { isolation }, async (tx) => ({ value: await work(tx) }))
    const clients = await Promise.all(Array.from({ length: count }, () => pool.connect()))
    for (const client of clients) await run(client, (tx) => tx.query('select $1::int', [1]))
    return { pool, statements, run }
  }

  test('is not its level: each transaction has its own', async () => {
    const { pool, run } = await prepared(1)
    for (let round = 0; round < 2; round++) {
      for (const level of ['serializable', 'repeatable read', 'read committed']) {
        const { rows } = await run(
          await pool.connect(),
          (tx) =>
            tx.query("select current_setting('transaction_isolation') as level, $1::int", [1]),
          level,
        )
        expect(rows).toMatchObject([{ level }])
      }
    }
  })

  test('is not its name, where a pooler has lost one: nothing is tried on the connections that remember it', async () => {
    const { pool, statements, run } = await prepared(2)
    statements.failed({ code: '26000' })
    for (let at = 0; at < 2; at++) {
      const client = await pool.connect()
      await client.query('deallocate all')
      const { rows } = await run(client, (tx) => tx.query('select $1::int as it', [at]))
      expect(rows).toEqual([{ it: at }])
      await pool.query('select 1') // Round about: the other one next.
    }
  })

  test('goes behind a Sync where the query is a simple one, which a pooler may let past what has none', async () => {
    const { pool, run } = await prepared(1)
    const client = await pool.connect()
    const { connection } = client as unknown as {
      connection: Record<'sync' | 'query', (...values: unknown[]) => unknown>
    }
    const sent: string[] = []
    for (const name of ['sync', 'query'] as const) {
      const send = connection[name].bind(connection)
      connection[name] = (...values) => {
        sent.push(name)
        return send(...values)
      }
    }
    await run(client, (tx) => tx.query('select 1'))
    expect(sent.slice(0, 2)).toEqual(['sync', 'query'])
  })
})

/** Goal: the table appears once, whoever starts; nothing that is not Pawl's is touched; and check() says what is wrong. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { pgStore } from '../../src/databases/pg.ts'
import { createIdempotency } from '../../src/index.ts'
import { postgresMigrations } from '../../src/sql/migrations/postgres.ts'

describe('on PostgreSQL', () => {
  let pool: pg.Pool
  let tables = 0
  const fresh = (): string => `migrate_${process.pid}_${String(++tables)}`
  beforeAll(() => {
    pool = new pg.Pool({ connectionString: inject('postgresUrl') })
  })
  afterAll(() => pool.end())

  test('twenty processes at once: one migrates, all find it done', async () => {
    const table = fresh()
    const stores = Array.from({ length: 20 }, () => pgStore(pool, { table }))
    await Promise.all(stores.map((store) => store.migrate()))
    const { rows } = await pool.query(`select version from ${table}_migration`)
    expect(rows).toEqual([{ version: 1 }, { version: 2 }])
    expect(await stores[0]?.check()).toEqual([])
  })

  test('a foreign table of that name is left alone, and said so', async () => {
    const table = fresh()
    await pool.query(`create table ${table} (id text primary key, theirs int)`)
    await expect(pgStore(pool, { table }).migrate()).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringContaining('was not made by Pawl') as string,
    })
    const { rows } = await pool.query(
      'select column_name from information_schema.columns where table_name = $1',
      [table],
    )
    expect(rows.map((row: { column_name: string }) => row.column_name).sort()).toEqual([
      'id',
      'theirs',
    ])
  })

  /** Goal: N and N+1 serve together. Method: the table as version 1 made it, its records, and what version 1 writes. */
  test('a table of version 1 says what it lacks, and gets it; what is there goes on', async () => {
    const table = fresh()
    const [first] = postgresMigrations(`"${table}"`)
    for (const statement of first?.statements ?? []) await pool.query(statement as string)
    await pool.query(`create table ${table}_migration (version int primary key)`)
    await pool.query(`insert into ${table}_migration values (1)`)
    const columns = 'id, idempotency_key, scope, operation, fingerprint, owner, expires_at'
    const claim = (id: string) =>
      pool.query(
        `insert into ${table} (${columns})
         values ($1, 'k', 's', 'o', 'v1:x', 'me', clock_timestamp() + interval '1 day')`,
        [id],
      )
    await claim('ikey_before')
    const store = pgStore(pool, { table })
    expect(await store.check()).toMatchObject([{ code: 'not_migrated' }])
    await expect(store.find('ikey_before')).rejects.toMatchObject({
      code: 'store_not_migrated',
      message: expect.stringContaining('store.migrate()') as string,
    })
    await store.migrate()
    expect(await store.check()).toEqual([])
    await claim('ikey_after')
    for (const id of ['ikey_before', 'ikey_after'])
      expect(await store.find(id)).toMatchObject({
        owner: 'me',
        task: undefined,
        version: undefined,
      })
  })

  test('behind a lock that does not come free: a typed error that says it may be asked again', async () => {
    const table = fresh()
    const store = pgStore(pool, { table })
    await store.migrate()
    const other = await pool.connect()
    await other.query(`begin; lock table ${table}_migration`)
    const unavailable = { code: 'store_unavailable', retryable: true }
    await expect(store.migrate()).rejects.toMatchObject(unavailable)
    await other.query('rollback')
    other.release()
    await store.migrate()
  })

  test('in a schema of its own', async () => {
    const schema = fresh()
    await pool.query(`create schema ${schema}`)
    const store = pgStore(pool, { table: `${schema}.idempotency_key` })
    await store.migrate()
    await store.migrate()
    expect(await store.check()).toEqual([])
    const idempotency = createIdempotency({ store })
    const request = { operation: 'o', scope: 's', key: 'k', input: null }
    expect(await idempotency.run(request, () => ({ body: 'x' }))).toMatchObject({
      kind: 'finished',
    })
    await pool.query(`drop schema ${schema} cascade`)
  })

  test('before migrate(): check() names it, a request gets a typed error that names the remedy', async () => {
    const store = pgStore(pool, { table: fresh() })
    expect(await store.check()).toMatchObject([{ code: 'not_migrated' }])
    const go = createIdempotency({ store }).run(
      { operation: 'o', scope: 's', key: 'k', input: null },
      () => ({}),
    )
    await expect(go).rejects.toMatchObject({
      code: 'store_not_migrated',
      message: expect.stringContaining('store.migrate()') as string,
    })
  })

  test('check() says when acknowledged results could be lost', async () => {
    const table = fresh()
    const lax = new pg.Pool({
      connectionString: inject('postgresUrl'),
      options: '-c synchronous_commit=off',
    })
    const store = pgStore(lax, { table })
    await store.migrate()
    expect(await store.check()).toMatchObject([{ code: 'synchronous_commit_off' }])
    await lax.end()
  })

  test('45 · a pooler that loses prepared statements: nothing is lost but the plan', async () => {
    const table = fresh()
    const one = new pg.Pool({ connectionString: inject('postgresUrl'), max: 1 })
    const store = pgStore(one, { table })
    await store.migrate()
    const idempotency = createIdempotency({ store })
    const go = (key: string) =>
      idempotency.run({ operation: 'o', scope: 's', key, input: null }, async (_, run) => {
        await run.stage('a', () => 1)
        return { body: key }
      })
    expect(await go('before')).toMatchObject({ stored: true })
    await one.query('deallocate all')
    expect(await go('after')).toMatchObject({ stored: true, replayed: false })
    expect(await go('after')).toMatchObject({ replayed: true })
    const { rows } = await one.query('select name from pg_prepared_statements')
    expect(rows).toEqual([])
    await one.end()
  })

  test('names of tables are names, and nothing else', () => {
    for (const table of ['a b', 'A', 'x"; drop table rides; --', 'a.b.c', '', 'x'.repeat(51)]) {
      expect(() => pgStore(pool, { table })).toThrow(
        expect.objectContaining({ code: 'config_invalid' }),
      )
    }
  })

  test('writers of the table are not blocked by a migrate() that has nothing to do', async () => {
    const table = fresh()
    const store = pgStore(pool, { table })
    await store.migrate()
    const writer = await pool.connect()
    await writer.query('begin')
    await writer.query(`lock table ${table} in row exclusive mode`)
    await store.migrate()
    await writer.query('rollback')
    writer.release()
  })

  test('updates of a request stay HOT: no index entry is made by a stage or a heartbeat', async () => {
    const table = fresh()
    const store = pgStore(pool, { table })
    await store.migrate()
    const idempotency = createIdempotency({ store })
    for (let key = 0; key < 50; key++) {
      await idempotency.run(
        { operation: 'o', scope: 's', key: String(key), input: null },
        async (_, run) => {
          await run.stage('a', () => 1)
          await run.call('b', () => 2)
          return { body: 'ok' }
        },
      )
    }
    await pool.query('select pg_stat_force_next_flush()')
    const { rows } = await pool.query<{ updated: string; hot: string }>(
      'select n_tup_upd as updated, n_tup_hot_upd as hot from pg_stat_user_tables where relname = $1',
      [table],
    )
    expect(Number(rows[0]?.updated)).toBeGreaterThan(0)
    // A page that fills up under concurrent rows may cost one or two; an index on a changing column costs them all.
    expect(Number(rows[0]?.hot) / Number(rows[0]?.updated)).toBeGreaterThan(0.9)
  })
})

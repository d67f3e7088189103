/** Goal: what is special about MySQL and MariaDB: transactions that end by themselves, locks, plans, settings. */
import mysql2 from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { mysql2Store } from '../../src/databases/mysql2.ts'
import { createIdempotency } from '../../src/index.ts'
import { mysqlTexts } from '../../src/sql/mysql-texts.ts'
import { questionMarks } from '../../src/sql/placeholders.ts'

describe('on MariaDB', () => {
  let pool: mysql2.Pool
  let tables = 0
  const fresh = (): string => `mysql_${process.pid}_${String(++tables)}`
  const rows = async (text: string, values: string[] = []): Promise<mysql2.RowDataPacket[]> =>
    (await pool.query<mysql2.RowDataPacket[]>(text, values))[0]
  beforeAll(() => {
    pool = mysql2.createPool({ uri: inject('mariaDbUrl') })
  })
  afterAll(() => pool.end())
  const request = (key: string) => ({ operation: 'o', scope: 's', key, input: null })
  const setup = async () => {
    const table = fresh()
    const store = mysql2Store(pool, { table })
    await store.migrate()
    await pool.query(`create table ${table}_effect (step varchar(20)) engine = InnoDB`)
    const effects = () => rows(`select step from ${table}_effect`)
    return { table, store, idempotency: createIdempotency({ store }), effects }
  }

  test('twenty processes at once: the table is there, and all find it done', async () => {
    const table = fresh()
    const stores = Array.from({ length: 20 }, () => mysql2Store(pool, { table }))
    await Promise.all(stores.map((store) => store.migrate()))
    expect(await rows(`select version from ${table}_migration`)).toEqual([
      { version: 1 },
      { version: 2 },
    ])
    expect(await stores[0]?.check()).toEqual([])
  })

  /** Method: as if a process had died between the statements of a version and the note of it. */
  test('a version whose note was lost is made again, and nothing is lost of what is there', async () => {
    const { table, store, idempotency } = await setup()
    await idempotency.run(request('k'), () => ({ body: 'ok' }))
    await rows(`update ${table} set principal = 'u1'`)
    await rows(`delete from ${table}_migration`)
    await store.migrate()
    expect(await store.check()).toEqual([])
    expect(await rows(`select principal from ${table}`)).toEqual([{ principal: 'u1' }])
  })

  test('a table of version 1 gets what it lacks', async () => {
    const { table, store } = await setup()
    await rows(`alter table ${table} drop column principal`)
    await rows(`drop table ${table}_backlog`)
    await rows(`delete from ${table}_migration where version = 2`)
    await expect(store.find('ikey_1')).rejects.toMatchObject({ code: 'store_not_migrated' })
    await Promise.all(Array.from({ length: 5 }, () => mysql2Store(pool, { table }).migrate()))
    expect(await store.check()).toEqual([])
    expect(await store.find('ikey_1')).toBe(undefined)
  })

  test('a foreign table of that name is left alone; a missing one is named', async () => {
    const table = fresh()
    await pool.query(`create table ${table} (theirs int)`)
    const store = mysql2Store(pool, { table })
    await expect(store.migrate()).rejects.toMatchObject({ code: 'config_invalid' })
    const missing = mysql2Store(pool, { table: fresh() })
    expect(await missing.check()).toMatchObject([{ code: 'not_migrated' }])
    const go = createIdempotency({ store: missing }).run(request('k'), () => ({}))
    await expect(go).rejects.toMatchObject({ code: 'store_not_migrated' })
  })

  test.each([
    ['a rollback', 'rollback'],
    ['a commit', 'commit'],
    ['a change of the schema', 'create table if not exists mysql_any (n int)'],
  ])('%s inside a stage: it is not reported as committed', async (_, text) => {
    const { table, idempotency } = await setup()
    const going = idempotency.run(request('k'), async (__, run) => {
      await run.stage('a', async (tx) => {
        await tx.query(`insert into ${table}_effect values ('a')`)
        await tx.query(text)
      })
    })
    await expect(going).rejects.toMatchObject({ code: 'transaction_failed_inside' })
    const [record] = await rows(`select recovery_point from ${table}`)
    expect(record).toEqual({ recovery_point: 'started' })
  })

  test('a swallowed deadlock, which has rolled back the whole: nothing is committed', async () => {
    const { table, idempotency, effects } = await setup()
    await pool.query(`insert into ${table}_effect values ('x')`)
    await pool.query(`alter table ${table}_effect add primary key (step)`)
    await pool.query(`insert into ${table}_effect values ('y')`)
    const other = await pool.getConnection()
    let swallowed: unknown
    const going = idempotency.run(request('k'), async (__, run) => {
      await run.stage('a', async (tx) => {
        await tx.query(`insert into ${table}_effect values ('a')`)
        await tx.query(`update ${table}_effect set step = 'x' where step = 'x'`)
        await tx.query(`select * from ${table}_effect where step = 'x' for update`)
        await other.query('begin')
        // The heavier transaction survives a deadlock.
        for (let n = 0; n < 50; n++)
          await other.query(`insert into ${table}_effect values ('${String(n)}')`)
        await other.query(`select * from ${table}_effect where step = 'y' for update`)
        const crossed = other.query(`select * from ${table}_effect where step = 'x' for update`)
        await tx
          .query(`select * from ${table}_effect where step = 'y' for update`)
          .catch((error: unknown) => (swallowed = error))
        await crossed
        await other.query('rollback')
      })
      return { body: 'ok' }
    })
    await expect(going).rejects.toMatchObject({ code: 'transaction_failed_inside' })
    other.release()
    expect(swallowed).toMatchObject({ errno: 1213 })
    expect(await effects()).toEqual([{ step: 'x' }, { step: 'y' }])
  })

  test('a row that a stopped process holds: claims of other keys go past it, its own is not waited for', async () => {
    const { table, idempotency } = await setup()
    await expect(
      idempotency.run(request('held'), async (__, run) => {
        await run.stage('a', () => 1)
        throw new Error('later')
      }),
    ).rejects.toThrow('later')
    const stopped = await pool.getConnection()
    await stopped.query('begin')
    const [held] = await rows(`select id from ${table}`)
    await stopped.query(`select * from ${table} where id = ? for update`, [held?.['id']])
    const began = Date.now()
    const others = ['b', 'c', 'held'].map((key) =>
      idempotency.run(request(key), () => ({ body: 'ok' })),
    )
    expect((await Promise.all(others)).map(({ kind }) => kind)).toEqual([
      'finished',
      'finished',
      'in_progress',
    ])
    expect(Date.now() - began).toBeLessThan(10_000)
    await stopped.query('rollback')
    stopped.release()
  })

  /** Goal: a heartbeat that waited for a stage, by the instant at which it began, takes no lease back that it granted. */
  test('a heartbeat never ends a lease earlier than it was granted for', async () => {
    const { store } = await setup()
    const id = `ikey_${'1'.repeat(32)}`
    const hold = { id, owner: 'first', attempt: 1 }
    const claim = { ...hold, scope: 's', operation: 'o', key: 'k', fingerprint: 'f' }
    const request = { method: undefined, path: undefined, task: undefined }
    await store.claim({ ...claim, ...request, leaseMs: 60_000, retentionMs: 86_400_000 })
    expect(await store.heartbeat([hold], 1_000)).toEqual([])
    expect((await store.reread(id))?.leaseLeftMs).toBeGreaterThan(50_000)
  })

  /** Method: the connection stands still in the middle of a heartbeat, as a process that was stopped there would. */
  test('a process that is stopped in its heartbeat keeps no row from whoever takes over', async () => {
    const { table, store } = await setup()
    const id = `ikey_${'0'.repeat(32)}`
    const hold = { id, owner: 'first', attempt: 1 }
    const claim = { ...hold, scope: 's', operation: 'o', key: 'k', fingerprint: 'f' }
    const request = { method: undefined, path: undefined, task: undefined }
    await store.claim({ ...claim, ...request, leaseMs: 1_000, retentionMs: 86_400_000 })
    let stopped = (): void => undefined
    let goOn = (): void => undefined
    const reached = new Promise<void>((resolve) => (stopped = resolve))
    const held = new Promise<void>((resolve) => (goOn = resolve))
    const slow = mysql2.createPool({ uri: inject('mariaDbUrl') })
    const get = slow.getConnection.bind(slow)
    slow.getConnection = async () => {
      const connection = await get()
      const execute = connection.execute.bind(connection) as (...asked: unknown[]) => Promise<never>
      connection.execute = async (...asked: unknown[]) => {
        if (JSON.stringify(asked[0]).includes('owner in (')) {
          stopped()
          await held
        }
        return await execute(...asked)
      }
      return connection
    }
    const beating = mysql2Store(slow, { table }).heartbeat([hold], 1_000)
    await reached
    await pool.query(`update ${table} set locked_until = utc_timestamp(6) - interval 1 second`)
    const seen = { id, attempt: 1, revision: 0, owner: 'second', leaseMs: 1_000 }
    expect(await store.takeOver(seen)).toMatchObject({ attempt: 2 })
    goOn()
    expect(await beating).toEqual([hold])
    await slow.end()
  })

  test('check() names settings that take a promise away', async () => {
    const { table } = await setup()
    const loose = mysql2.createPool({ uri: inject('mariaDbUrl'), connectionLimit: 1 })
    await loose.query(`set session sql_mode = 'NO_BACKSLASH_ESCAPES', autocommit = 0`)
    const found = await mysql2Store(loose, { table }).check()
    expect(found.map(({ code }) => code)).toEqual([
      'autocommit_off',
      'no_backslash_escapes',
      'sql_mode_not_strict',
    ])
    await loose.end()
  })

  test('every statement finds its records by an index, of a table of twenty thousand', async () => {
    const { table } = await setup()
    await pool.query(
      `insert into ${table} (id, idempotency_key, scope, operation, fingerprint, stages, created_at, expires_at)
       select concat('ikey_', md5(seq)), seq, 's', 'o', 'f', '{}', utc_timestamp(6), utc_timestamp(6) + interval seq second
         from seq_1_to_20000`,
    )
    await pool.query(
      `insert into ${table}_backlog (id, operation, due_at, created_at)
       select id, operation, expires_at, created_at from ${table}`,
    )
    await pool.query(`analyze table ${table}, ${table}_backlog`)
    const texts = mysqlTexts(`\`${table}\``)
    const fixed = Object.entries(texts).flatMap(([name, text]) =>
      typeof text === 'string' ? [[name, text] as const] : [],
    )
    const named = [
      ...(['look', 'find', 'lockRunning', 'renew', 'owners', 'lockReapable', 'reap'] as const),
      ...(['tombstone', 'lockErasable'] as const),
      ...(['lockTurn', 'again', 'removed'] as const),
    ] as const
    const lists = named.map((name) => [name, texts[name](4)] as const)
    const limited = (['reapable', 'turn', 'erasable'] as const).map(
      (name) => [name, texts[name](100)] as const,
    )
    for (const [name, text] of [...fixed, ...lists, ...limited]) {
      const { text: asked, values } = questionMarks({ text, values: [] })
      // As the driver does it: prepared, so that what a parameter is compared as is what is planned for.
      const [plan] = await pool.execute<mysql2.RowDataPacket[]>(
        `explain ${asked}`,
        values.map(() => '1'),
      )
      const scans = plan.filter(
        ({ type, select_type: kind }) => kind !== 'INSERT' && (type === 'ALL' || type === 'index'),
      )
      expect([name, scans]).toEqual([name, []])
    }
    expect(fixed.length).toBeGreaterThan(8)
  })
})

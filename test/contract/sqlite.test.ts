/** Goal: what is special about SQLite: one writer, one clock, transactions that end by themselves. Real files, two connections. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import Libsql from 'libsql'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { betterSqlite3Store } from '../../src/databases/better-sqlite3.ts'
import { createIdempotency } from '../../src/index.ts'
import { questionMarks } from '../../src/sql/placeholders.ts'
import { sqlite, sqliteTexts } from '../../src/sql/sqlite.ts'

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

describe.each([
  ['better-sqlite3', (file: string) => new BetterSqlite3(file)],
  ['libsql', (file: string) => new Libsql(file) as unknown as BetterSqlite3.Database],
])('%s', (_, open) => {
  let folder: string
  let db: BetterSqlite3.Database
  let other: BetterSqlite3.Database
  const file = (): string => join(folder, 'test.db')
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'pawl-sqlite-'))
    db = open(file())
    other = open(file())
  })
  afterEach(() => {
    db.close()
    other.close()
    rmSync(folder, { recursive: true })
  })
  const request = (key: string) => ({ operation: 'o', scope: 's', key, input: null })
  const setup = async () => {
    const store = betterSqlite3Store(db)
    await store.migrate()
    db.exec('create table effect (step text)')
    const effects = () => other.prepare('select step from effect').all()
    return { store, idempotency: createIdempotency({ store }), effects }
  }

  test('connections that migrate at once: one does it, all find it done, and check() is content', async () => {
    const stores = [db, other].map((one) => betterSqlite3Store(one))
    await Promise.all(stores.map((store) => store.migrate()))
    expect(db.prepare('select version from idempotency_key_migration').all()).toHaveLength(2)
    expect(await stores[1]?.check()).toEqual([])
  })

  test('check() names what takes a promise away, and a table that is missing', async () => {
    const store = betterSqlite3Store(db)
    expect(await store.check()).toMatchObject([
      { code: 'journal_mode_not_wal' },
      { code: 'not_migrated' },
    ])
    await store.migrate()
    db.exec('pragma synchronous = normal')
    expect(await store.check()).toMatchObject([{ code: 'synchronous_not_full' }])
    const go = createIdempotency({ store: betterSqlite3Store(db, { table: 'elsewhere' }) })
    await expect(go.run(request('k'), () => ({}))).rejects.toMatchObject({
      code: 'store_not_migrated',
    })
  })

  test('a foreign table of that name is left alone, and said so', async () => {
    db.exec('create table idempotency_key (theirs text)')
    await expect(betterSqlite3Store(db).migrate()).rejects.toMatchObject({ code: 'config_invalid' })
    expect(db.prepare('select name from pragma_table_info(?)').all('idempotency_key')).toEqual([
      { name: 'theirs' },
    ])
  })

  test('another process has the file: stages wait for it, and the event loop goes on', async () => {
    const { idempotency, effects } = await setup()
    other.exec('begin immediate')
    let ticks = 0
    const ticking = setInterval(() => ticks++, 10)
    const going = idempotency.run(request('k'), async (__, run) => {
      await run.stage('a', (tx) => void tx.prepare(`insert into effect values ('a')`).run())
      return { body: 'ok' }
    })
    await sleep(300)
    other.exec('rollback')
    expect(await going).toMatchObject({ kind: 'finished' })
    clearInterval(ticking)
    expect(ticks).toBeGreaterThan(10)
    expect(effects()).toEqual([{ step: 'a' }])
  })

  test('a stage whose transaction has ended by itself commits nothing, and its point is not passed', async () => {
    const { idempotency, effects } = await setup()
    const insert = `insert into effect values ('a')`
    const going = idempotency.run(request('k'), async (__, run) => {
      await run.stage('a', (tx) => {
        tx.exec(insert)
        tx.exec('rollback') // As an error of the disk does, whoever swallows it.
      })
    })
    await expect(going).rejects.toMatchObject({ code: 'transaction_failed_inside' })
    expect(effects()).toEqual([])
    const again = await idempotency.run(request('k'), async (__, run) => {
      await run.stage('a', (tx) => void tx.exec(insert))
      return { body: String(run.resumed) }
    })
    expect(again).toMatchObject({ kind: 'finished', stored: true })
    expect(effects()).toEqual([{ step: 'a' }])
  })

  test('a write over another connection to the file, inside a stage: it does not get through, nor does the stage', async () => {
    const { idempotency, effects } = await setup()
    other.pragma('busy_timeout = 0')
    let wrote = 0
    const going = idempotency.run(request('k'), async (__, run) => {
      await run.stage('a', (tx) => {
        tx.exec(`insert into effect values ('a')`)
        other.exec(`insert into effect values ('outside')`)
        wrote++
      })
    })
    await expect(going).rejects.toMatchObject({ code: 'stage_aborted' })
    expect(wrote).toBe(0)
    expect(effects()).toEqual([])
  })

  test('requests beside an open stage wait their turn, and are not in its transaction', async () => {
    const { idempotency, store } = await setup()
    let claimed: Promise<unknown> | undefined
    const going = idempotency.run(request('rolled back'), async (__, run) => {
      await run.stage('a', async () => {
        claimed = idempotency.run(request('beside'), () => ({ body: 'kept' }))
        await sleep(50)
        throw new Error('sold out')
      })
    })
    await expect(going).rejects.toThrow('sold out')
    expect(await claimed).toMatchObject({ kind: 'finished', stored: true })
    expect(await idempotency.run(request('beside'), () => ({ body: 'twice' }))).toMatchObject({
      replayed: true,
    })
    expect(await store.check()).toEqual([])
  })

  test('a connection that was closed: a typed error, and the handler does not run', async () => {
    const { idempotency } = await setup()
    const spare = open(file())
    db.close()
    let ran = false
    const go = idempotency.run(request('k'), () => void (ran = true))
    await expect(go).rejects.toMatchObject({ code: 'store_unavailable' })
    expect(ran).toBe(false)
    db = spare
  })

  test('every statement finds its records by an index', async () => {
    await setup()
    const texts = Object.entries(sqliteTexts(sqlite.quote('idempotency_key')))
    const plans = texts.map(([name, text]) => {
      const steps = db
        .prepare(`explain query plan ${questionMarks({ text, values: [] }).text}`)
        .all(...questionMarks({ text, values: [] }).values.map(() => '')) as { detail: string }[]
      return [name, steps.filter(({ detail }) => /^SCAN (?!.*VIRTUAL TABLE)/.test(detail))]
    })
    expect(plans.filter(([, scans]) => scans?.length !== 0)).toEqual([])
    expect(texts.length).toBeGreaterThan(10)
  })
})

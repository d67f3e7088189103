/**
 * Goal: what a stage sends through the handle of its store, not through its `tx`, is refused before it is sent, whatever
 * the library; everything else passes. Method: every library, in each of its wrong ways, on real databases.
 */
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest'
import { createIdempotency, type Idempotency, OutsideTransactionError } from '../../src/index.ts'
import { engineOf } from './engine-of.ts'
import { LIBRARIES, type Opened } from './outside-libraries.ts'
import { freshTable } from './store-under-test.ts'

type Work = (tx: object) => Promise<void>
type OfTest = Idempotency<object, never>

/** A promise, and its end. */
function gate() {
  let open = (): void => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, opened }
}

/** Those of MariaDB only where the server is installed; CI fails without it. */
const isThere = (name: string): boolean => engineOf(name) !== 'mysql' || inject('mariaDbUrl') !== ''

const chosen = Object.entries(LIBRARIES).filter(
  ([name]) => isThere(name) && [undefined, name].includes(process.env['PAWL_TEST_STORES']),
)

describe.each(chosen)('%s', (_name, { open, isAlone = false }) => {
  const table = freshTable()
  let library: Opened
  let idempotency: OfTest
  let keys = 0

  const usual = (): string => Object.keys(library.ways)[0] ?? ''
  const insert = (name: string): string => `insert into ${table}_effect values ('${name}')`
  const outside = async (name: string, way = usual()): Promise<void> => {
    await library.ways[way]?.(insert(name))
  }
  const within = async (tx: object, name: string): Promise<void> => {
    await library.within(tx as never, insert(name))
  }
  const committed = async (): Promise<string[]> => {
    const rows = await library.sql<{ name: string }>(`select name from ${table}_effect`)
    return rows.map(({ name }) => name).sort()
  }
  const requestOf = (key = `key ${String(++keys)}`) =>
    ({ operation: 'o', scope: 's', key, input: null }) as const
  const staged = (work: Work, key?: string, of = idempotency) =>
    of.run(requestOf(key), async (_, run) => {
      await run.stage('first', work)
      return { body: 'done' }
    })

  beforeAll(async () => {
    library = await open()
    const store = library.storeOf({ table })
    await store.migrate()
    await library.sql(`create table ${table}_effect (name varchar(40) not null)`)
    idempotency = createIdempotency({ store })
  })
  afterEach(() => library.sql(`delete from ${table}_effect`))
  afterAll(async () => {
    await idempotency.close()
    for (const name of [table, `${table}_backlog`, `${table}_migration`, `${table}_effect`])
      await library.sql(`drop table ${name}`)
    await library.end()
  })

  test('a wrong way is refused, with the stage; the same key goes on at once', async () => {
    for (const way of Object.keys(library.ways)) {
      const key = `in turn ${way}`
      let thrown: unknown
      let times = 0
      const failing = staged(async (tx) => {
        times++
        await within(tx, 'of the stage')
        try {
          await outside('beside it', way)
        } catch (error) {
          thrown = error
          throw error
        }
      }, key)
      const error = await failing.catch((reason: unknown) => reason)
      expect(error, way).toBeInstanceOf(OutsideTransactionError)
      expect(error).toMatchObject({ code: 'outside_transaction', retryable: false })
      // At its line, or inside of what the library made of it.
      const { message, cause } = thrown as Error
      expect(message + String(cause), way).toContain((error as Error).message)
      expect([way, times, await committed()]).toEqual([way, 1, []])
      const again = await staged((tx) => within(tx, way), key)
      expect(again, way).toMatchObject({ kind: 'finished' })
      expect(await committed()).toEqual([way])
      await library.sql(`delete from ${table}_effect`)
    }
  })

  test('in finish, and without a record', async () => {
    const finishing = idempotency.run(requestOf(), (_, run) =>
      run.finish(async (tx) => {
        await within(tx, 'of finish')
        await outside('beside it')
        return { body: 'done' }
      }),
    )
    await expect(finishing).rejects.toMatchObject({ code: 'outside_transaction' })
    const store = library.storeOf({ table, outside: 'refuse' })
    const alone = store.transaction({ isolation: undefined }, async () => {
      await outside('beside it')
    })
    await expect(alone).rejects.toMatchObject({ code: 'outside_transaction' })
    expect(await committed()).toEqual([])
  })

  test('a read is refused as well', async () => {
    const reads = { ...library.reads, usual: () => library.ways[usual()]?.('select 1') }
    for (const [name, read] of Object.entries(reads)) {
      const reading = staged(async () => {
        await read()
      })
      await expect(reading, name).rejects.toMatchObject({ code: 'outside_transaction' })
      if (name !== 'usual') await expect(reading).rejects.toThrow(`${name} was used inside a stage`)
    }
  })

  test('a refusal that the work swallows ends its stage all the same', async () => {
    const swallowing = staged(async (tx) => {
      await within(tx, 'of the stage')
      await outside('beside it').catch(() => undefined)
    })
    await expect(swallowing).rejects.toMatchObject({ code: 'outside_transaction' })
    expect(await committed()).toEqual([])
  })

  test('before, between and behind stages, in a call, and left running: untouched', async () => {
    const over = gate()
    let left: unknown
    const result = await idempotency.run(requestOf(), async (_, run) => {
      await outside('1 before')
      await run.stage('first', (tx) => {
        left = over.opened.then(() => outside('5 left running'))
        return within(tx, '2 first')
      })
      await outside('3 between')
      await run.call('called', async () => {
        await outside('4 in a call')
      })
      return { body: 'done' }
    })
    over.open()
    await left
    expect(result).toMatchObject({ kind: 'finished' })
    expect(await committed()).toEqual([
      '1 before',
      '2 first',
      '3 between',
      '4 in a call',
      '5 left running',
    ])
  })

  test('another request beside an open stage is not disturbed, nor the stage', async () => {
    const inside = gate()
    const over = gate()
    const first = staged(async (tx) => {
      await within(tx, '1 in a stage')
      inside.open()
      await over.opened
      await within(tx, '2 in a stage')
    })
    await Promise.race([inside.opened, first])
    const beside = outside('3 beside')
    const second = staged((tx) => within(tx, '4 another'))
    over.open()
    await Promise.all([first, beside, second])
    expect(await committed()).toEqual(['1 in a stage', '2 in a stage', '3 beside', '4 another'])
  })

  // There the wrong way waits for the stage, which waits for it.
  if (isAlone) return
  test('outside: allow lets all of it through', async () => {
    const allowing = createIdempotency({ store: library.storeOf({ table, outside: 'allow' }) })
    for (const way of Object.keys(library.ways)) {
      await staged(() => outside('let through', way), undefined, allowing)
      expect([way, (await committed()).length]).toEqual([way, 1])
      await library.sql(`delete from ${table}_effect`)
    }
    await allowing.close()
  })
})

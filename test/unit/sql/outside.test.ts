/** Goal: handles are changed where it helps and nowhere else. Method: stages over handles that only count. */
import { afterEach, describe, expect, test, vi } from 'vitest'
import pg from 'pg'
import { pgStore } from '../../../src/databases/pg.ts'
import {
  besideStages,
  OutsideWatch,
  type RootHandle,
  refusesOutside,
} from '../../../src/sql/outside.ts'

class Handle {
  sent = 0
  query(...args: unknown[]): Promise<unknown> {
    this.sent++
    const last = args.at(-1)
    if (typeof last === 'function') Reflect.apply(last, undefined, [undefined, 'answer'])
    return Promise.resolve('answer')
  }
}

const watchOf = (...roots: RootHandle[]) => new OutsideWatch<undefined>(() => roots)

const rootOf = (handle: object, more: Partial<RootHandle> = {}): RootHandle => ({
  handle,
  name: 'pool',
  methods: ['query'],
  ...more,
})

const over = <R>(watch: OutsideWatch<undefined>, work: () => Promise<R>): Promise<R> =>
  watch.over(undefined, work, 'ikey_1')

afterEach(() => {
  vi.unstubAllEnvs()
})

describe('whether', () => {
  test('in development and in tests, unless the option says otherwise', () => {
    expect(refusesOutside({})).toBe(true)
    expect(refusesOutside({ outside: 'allow' })).toBe(false)
    vi.stubEnv('NODE_ENV', 'production')
    expect(refusesOutside({})).toBe(false)
    expect(refusesOutside({ outside: 'refuse' })).toBe(true)
  })

  test('a value that is none is refused when the store is made', () => {
    const pool = new pg.Pool()
    expect(() => pgStore(pool, { outside: 'never' as never })).toThrow(
      /expected 'refuse' or 'allow'/,
    )
  })

  test('in production a handle stays as it is', async () => {
    vi.stubEnv('NODE_ENV', 'production')
    const pool = new pg.Pool({ host: '127.0.0.1', port: 1 })
    const before = Reflect.ownKeys(pool)
    const store = pgStore(pool)
    await expect(store.transaction({ isolation: undefined }, async () => 1)).rejects.toThrow()
    expect(Reflect.ownKeys(pool)).toEqual(before)
    expect([pool.query, pool.connect]).toEqual([pg.Pool.prototype.query, pg.Pool.prototype.connect])
  })
})

describe('a refusal', () => {
  test('is a rejection, before anything is sent, and names call, record and remedy', async () => {
    const handle = new Handle()
    const failing = over(watchOf(rootOf(handle)), () => handle.query('select 1'))
    await expect(failing).rejects.toMatchObject({ code: 'outside_transaction', id: 'ikey_1' })
    await expect(failing).rejects.toThrow(/pool\.query was used inside a stage.*Use the `tx`/)
    expect(handle.sent).toBe(0)
  })

  test('goes to a callback, behind the call', async () => {
    const handle = new Handle()
    const order: string[] = []
    const failing = over(watchOf(rootOf(handle, { refuses: 'callback' })), () => {
      return new Promise<void>((resolve) => {
        void handle.query('select 1', (error: Error) => {
          order.push(error.name)
          resolve()
        })
        order.push('called')
      })
    })
    await expect(failing).rejects.toMatchObject({ code: 'outside_transaction' })
    expect(order).toEqual(['called', 'OutsideTransactionError'])
  })

  test('that nobody waits for is no unhandled rejection, and ends the stage', async () => {
    const handle = new Handle()
    const failing = over(watchOf(rootOf(handle)), async () => void handle.query('select 1'))
    await expect(failing).rejects.toMatchObject({ code: 'outside_transaction' })
  })

  test('is of the handles of the stage’s own store', async () => {
    const [one, other] = [new Handle(), new Handle()]
    await over(watchOf(rootOf(other)), () => Promise.resolve())
    await over(watchOf(rootOf(one)), () => other.query('select 1'))
    expect([one.sent, other.sent]).toEqual([0, 1])
  })
})

describe('a handle', () => {
  test('is changed once, when the store is made; what was put on its prototype later is called', async () => {
    const handle = new Handle()
    expect(Object.hasOwn(handle, 'query')).toBe(false)
    const watch = watchOf(rootOf(handle))
    const { query } = handle
    expect(Object.hasOwn(handle, 'query')).toBe(true)
    await over(watch, () => Promise.resolve())
    expect(handle.query).toBe(query)
    const spy = vi.spyOn(Handle.prototype, 'query')
    await handle.query('select 1')
    expect(spy).toHaveBeenCalledTimes(1)
    spy.mockRestore()
  })

  test('whose method was put back is watched again', async () => {
    const handle = new Handle()
    const watch = watchOf(rootOf(handle))
    await over(watch, () => Promise.resolve())
    handle.query = Handle.prototype.query
    await expect(over(watch, () => handle.query('select 1'))).rejects.toThrow('outside_transaction')
  })

  test('that cannot be changed is left alone', async () => {
    const handle = Object.freeze(Object.assign(Object.create({ query: () => 'answer' }), {}))
    expect(await over(watchOf(rootOf(handle)), async () => handle.query())).toBe('answer')
  })
})

test('of a library that keeps its handles elsewhere nothing is seen, and stages go on', async () => {
  const watches = [
    new OutsideWatch<undefined>(() => {
      throw new TypeError('getConnection is not a function')
    }),
    watchOf(rootOf(undefined as never)),
    watchOf(rootOf({})),
  ]
  for (const watch of watches) expect(await over(watch, () => Promise.resolve(1))).toBe(1)
})

test('statements of Pawl’s own are nobody’s, whoever started them', async () => {
  const handle = new Handle()
  const database = besideStages<undefined, never>({
    query: () => handle.query('select 1') as never,
    within: () => Promise.resolve([]),
    transaction: async (_, work) => {
      await handle.query('begin')
      return (await work(undefined)).value
    },
  })
  await over(watchOf(rootOf(handle)), async () => {
    await database.query({ text: '', values: [] })
    await database.transaction({ isolation: undefined }, async () => ({ value: 1 }))
  })
  expect(handle.sent).toBe(2)
})

/** Goal: phases open a transaction or join one, as the original's do, and leave nothing of a request on the instance. */
import type { EntityManager } from 'typeorm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type IsolationLevel, TransactionBaseService } from '../../src/medusa/index.ts'
import { type Host, openHost, TYPEORMS } from './host.ts'

type Handler = (error: Error) => Promise<string | void>

class Carts extends TransactionBaseService {
  readonly seen: unknown[]

  constructor(
    container: { manager: EntityManager; seen?: unknown[] },
    config?: Record<string, unknown>,
    declaration?: Record<string, unknown>,
  ) {
    super(container, config, declaration)
    this.seen = container.seen ?? []
  }

  get active(): EntityManager {
    return this.activeManager_
  }

  get transactional(): EntityManager | undefined {
    return this.transactionManager_
  }

  get made(): unknown[] {
    return [this.__container__, this.__configModule__, this.__moduleDeclaration__]
  }

  phase<R>(
    work: (manager: EntityManager) => Promise<R>,
    second?: IsolationLevel | ((error: Error) => Promise<R | void>),
    third?: (error: Error) => Promise<R | void>,
  ): Promise<R> {
    return this.atomicPhase_<R, Error>(work, second, third)
  }
}

/** As in plugins: the fields are declared again, and assigned. */
class Redeclared extends Carts {
  declare protected manager_: EntityManager
  protected override transactionManager_: EntityManager | undefined = undefined
}

describe.each(TYPEORMS)('%s', (_, lib) => {
  let host: Host
  beforeAll(async () => {
    host = await openHost(lib)
  })
  afterAll(() => host.close())
  const make = () => new Carts({ manager: host.dataSource.manager }, { config: 1 }, { module: 2 })
  const note = (manager: EntityManager, step: string): Promise<unknown> =>
    manager.query(`insert into ${host.table}_effect values ($1)`, [step])
  const notes = async (like: string) =>
    (
      await host.sql<{ step: string }>(
        `select step from ${host.table}_effect where step like $1 order by 1`,
        [like],
      )
    ).map(({ step }) => step)

  test('withTransaction: a clone of the subclass, made of the same; the original is untouched', async () => {
    const carts = make()
    await host.dataSource.transaction((tm) => {
      const clone = carts.withTransaction(tm)
      expect(clone).toBeInstanceOf(Carts)
      expect(clone.made).toEqual(carts.made)
      expect([clone.active, clone.transactional]).toEqual([tm, tm])
      expect(clone.active).toBe(tm)
      return Promise.resolve()
    })
    expect(carts.active).toBe(host.dataSource.manager)
    expect(carts.transactional).toBeUndefined()
    expect(carts.withTransaction()).toBe(carts)
  })

  test('a container that throws for names it does not have is read for what is needed alone', () => {
    const cradle = new Proxy(
      { manager: host.dataSource.manager },
      {
        get: (target, name) => {
          if (name in target || name === 'seen') return Reflect.get(target, name) as unknown
          throw new Error(`Could not resolve '${String(name)}'`)
        },
      },
    )
    expect(new Carts(cradle).active).toBe(host.dataSource.manager)
  })

  test('outside of a transaction a phase opens one; inside, the active manager is the phase’s', async () => {
    const carts = make()
    const result = await carts.phase(async (manager) => {
      expect(manager.queryRunner?.isTransactionActive).toBe(true)
      expect(carts.active).toBe(manager)
      expect(carts.transactional).toBe(manager)
      await note(manager, 'opened')
      return 'done'
    })
    expect([result, await notes('opened')]).toEqual(['done', ['opened']])
    expect(carts.active).toBe(host.dataSource.manager)
    await expect(
      carts.phase((manager) => note(manager, 'undone').then(() => Promise.reject(new Error('no')))),
    ).rejects.toThrow('no')
    expect(await notes('undone')).toEqual([])
  })

  test('a nested phase joins the transaction, without a savepoint', async () => {
    const carts = make()
    await carts.phase(async (outer) => {
      await carts.phase((inner) => {
        expect(inner).toBe(outer)
        return Promise.resolve()
      })
      const given = carts.withTransaction(outer)
      await given.phase((inner) => {
        expect(inner).toBe(outer)
        return Promise.resolve()
      })
    })
  })

  test('two phases at once on one instance: each has its own transaction', async () => {
    const carts = make()
    const sleep = () => new Promise((resolve) => setTimeout(resolve, 30))
    const kept = carts.phase(async (manager) => {
      await note(carts.active, 'kept/1')
      await sleep()
      expect(carts.active).toBe(manager)
      await note(carts.active, 'kept/2')
    })
    const undone = carts.phase(async (manager) => {
      await sleep()
      expect(carts.active).toBe(manager)
      await note(carts.active, 'kept/undone')
      throw new Error('undone')
    })
    await expect(undone).rejects.toThrow('undone')
    await kept
    expect(await notes('kept/%')).toEqual(['kept/1', 'kept/2'])
  })

  test('what a phase leaves running works outside of it once it has ended', async () => {
    const carts = make()
    let left: Promise<unknown> = Promise.resolve()
    await carts.phase(() => {
      left = new Promise((resolve) => setTimeout(resolve, 30)).then(() =>
        note(carts.active, 'left'),
      )
      return Promise.resolve()
    })
    await left
    expect(await notes('left')).toEqual(['left'])
  })

  test.each(['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'] as const)(
    'the level %s',
    async (level) => {
      const read = (manager: EntityManager) =>
        manager.query<{ level: string }[]>(
          `select current_setting('transaction_isolation') as level`,
        )
      const [row] = await make().phase(read, level)
      expect(row?.level).toBe(level.toLowerCase())
    },
  )

  test('a serialization failure and a deadlock are tried again, five times at most; nested they are not', async () => {
    const carts = make()
    for (const code of ['40001', '40P01']) {
      let tries = 0
      const fail = () => {
        tries++
        return Promise.reject(Object.assign(new Error(code), { code }))
      }
      await expect(carts.phase(fail, 'SERIALIZABLE')).rejects.toMatchObject({ code })
      expect(tries).toBe(5)
      tries = 0
      await expect(carts.phase(() => carts.phase(fail))).rejects.toMatchObject({ code })
      expect(tries).toBe(5)
      await expect(
        host.dataSource.transaction((tm) => carts.withTransaction(tm).phase(fail)),
      ).rejects.toMatchObject({ code })
      expect(tries).toBe(6)
    }
  })

  test('a subclass decides what is tried again', async () => {
    class Patient extends Carts {
      protected override shouldRetryTransaction_(err: { code?: string }): boolean {
        return err.code === 'BUSY'
      }
    }
    let tries = 0
    const busy = () =>
      ++tries < 2
        ? Promise.reject(Object.assign(new Error('busy'), { code: 'BUSY' }))
        : Promise.resolve('done')
    expect(await new Patient({ manager: host.dataSource.manager }).phase(busy)).toBe('done')
  })

  test('error handlers: the error is thrown all the same, unless the third argument says otherwise', async () => {
    const carts = make()
    const own = new Error('own')
    const fail = (): Promise<string> => Promise.reject(own)
    const told: Error[] = []
    const handler: Handler = (error) => {
      told.push(error)
      return Promise.resolve('handled')
    }
    await expect(carts.phase(fail, handler)).rejects.toBe(own)
    await expect(carts.phase(fail, 'SERIALIZABLE', handler)).rejects.toBe(own)
    expect(await carts.phase(fail, handler, handler)).toBe('handled')
    expect(told).toEqual([own, own, own])
  })

  test('in a given transaction, an error handler finds it rolled back', async () => {
    const carts = make()
    let active: boolean | undefined = true
    const given = host.dataSource.transaction(async (tm) => {
      await note(tm, 'given')
      await carts.withTransaction(tm).phase(
        () => Promise.reject(new Error('own')),
        () => {
          active = tm.queryRunner?.isTransactionActive
          return Promise.resolve()
        },
      )
    })
    await expect(given).rejects.toThrow()
    expect([active, await notes('given')]).toEqual([false, []])
  })

  test('a subclass that declares the managers again', async () => {
    const carts = new Redeclared({ manager: host.dataSource.manager })
    await host.dataSource.transaction(async (tm) => {
      const clone = carts.withTransaction(tm)
      expect(clone.active).toBe(tm)
      await clone.phase((manager) => {
        expect(manager).toBe(tm)
        return Promise.resolve()
      })
    })
    await carts.phase((manager) => {
      expect(carts.active).toBe(manager)
      return Promise.resolve()
    })
  })
})

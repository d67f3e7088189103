/**
 * Goal: a stage that gives its connection back to the pool, as code that took one out by itself does, is refused:
 * nothing of it is committed, and nobody else is in its transaction. Method: `release()` behind a statement.
 */
import * as mariadb from 'mariadb'
import mysql2 from 'mysql2/promise'
import pg from 'pg'
import { DataSource } from 'typeorm'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { mariadbStore } from '../../src/databases/mariadb.ts'
import { mysql2Store } from '../../src/databases/mysql2.ts'
import { pgStore } from '../../src/databases/pg.ts'
import { typeormStore } from '../../src/databases/typeorm.ts'
import { createIdempotency, type Store } from '../../src/index.ts'
import { isPromised } from '../support/global-setup.ts'
import { hasMariaDb } from '../support/mariadb.ts'
import { freshTable } from './store-under-test.ts'

interface Client {
  query(text: string): unknown
  release(): unknown
  end?(): unknown
  close?(): unknown
}

interface Bed {
  readonly store: Store<Client> & { migrate(): Promise<void> }
  readonly sql: (text: string) => Promise<unknown>
  readonly open?: () => Promise<void>
  readonly close: () => Promise<void>
}

type Open = (table: string) => Bed

const onPg =
  (config: pg.PoolConfig): Open =>
  (table) => {
    const pool = new pg.Pool({ connectionString: inject('postgresUrl'), max: 1, ...config })
    return {
      store: pgStore(pool, { table }),
      sql: async (text) => (await pool.query<object>(text)).rows,
      close: () => pool.end(),
    }
  }

const POOLS: readonly (readonly [name: string, open: Open])[] = [
  ['pg', onPg({})],
  ['pg, pipelined', onPg({ pipeline: true })],
  ['typeorm', onTypeorm],
  ...(isPromised() || hasMariaDb() ? onMariaDb() : []),
]

function onTypeorm(table: string): Bed {
  const dataSource = new DataSource({
    ...{ type: 'postgres', url: inject('postgresUrl'), extra: { max: 1 } },
  })
  return {
    store: typeormStore(dataSource, { table }),
    sql: (text) => dataSource.query(text),
    open: async () => void (await dataSource.initialize()),
    close: () => dataSource.destroy(),
  }
}

function onMariaDb(): [string, Open][] {
  return [
    [
      'mysql2',
      (table) => {
        const pool = mysql2.createPool({ uri: inject('mariaDbUrl'), connectionLimit: 1 })
        return {
          store: mysql2Store(pool, { table }),
          sql: async (text) => (await pool.query(text))[0],
          close: () => pool.end(),
        }
      },
    ],
    [
      'mariadb',
      (table) => {
        const url = inject('mariaDbUrl').replace('mysql:', 'mariadb:')
        const pool = mariadb.createPool(`${url}?connectionLimit=1`)
        return {
          store: mariadbStore(pool, { table }),
          sql: (text) => pool.query(text),
          close: () => pool.end(),
        }
      },
    ],
  ]
}

const WAYS: Readonly<Record<string, readonly ('release' | 'end' | 'close')[]>> = {
  mysql2: ['release', 'end'],
  mariadb: ['release', 'end', 'close'],
}

describe.each(POOLS)('%s', (name, open) => {
  test.each(WAYS[name] ?? (['release'] as const))(
    '%s() in a stage → step_misused, and the pool is whole',
    async (method) => {
      const table = freshTable()
      const { store, sql, ...bed } = open(table)
      await bed.open?.()
      onTestFinished(bed.close)
      await store.migrate()
      await sql(`create table ${table}_ride (step varchar(20))`)
      const idempotency = createIdempotency({ store })
      const request = { operation: 'o', scope: 's', key: 'k', input: null }
      const giving = idempotency.run(request, (_, run) =>
        run.finish(async (tx) => {
          try {
            await tx.query(`insert into ${table}_ride values ('given away')`)
            return { body: 'ok' }
          } finally {
            tx[method]?.()
          }
        }),
      )
      await expect(giving).rejects.toMatchObject({
        code: 'step_misused',
        message: expect.stringContaining(`Leave ${method}() out`) as string,
      })
      const again = await idempotency.run(request, (_, run) =>
        run.finish(async (tx) => {
          await tx.query(`insert into ${table}_ride values ('kept')`)
          return { body: 'ok' }
        }),
      )
      expect(again).toMatchObject({ kind: 'finished', stored: true })
      expect(await sql(`select step from ${table}_ride`)).toMatchObject([{ step: 'kept' }])
    },
  )
})

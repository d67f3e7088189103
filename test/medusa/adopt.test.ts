/**
 * Goal: the table of a Medusa v1 back end is adopted in place, while its code goes on; quickly, again after an
 * interruption, and back. Method: the table as Medusa's migrations make it, with the original's own statements.
 */
import { DataSource } from 'typeorm'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { IdempotencyKeyService, migrate, revert } from '../../src/medusa/index.ts'
import { ownEntity } from './host.ts'
import * as typeorm from 'typeorm'

let dataSource: DataSource
const table = `adopt_${process.pid}`
const entity = ownEntity(typeorm, table)

const makeTable = async (): Promise<void> => {
  await dataSource.query(`drop table if exists ${table}`)
  await dataSource.query(`
    create table ${table} (
      id character varying not null primary key, idempotency_key character varying not null,
      created_at timestamp with time zone not null default now(), locked_at timestamp with time zone,
      request_method character varying, request_params jsonb, request_path character varying, response_code integer,
      response_body jsonb, recovery_point character varying not null default 'started')`)
  await dataSource.query(
    `create unique index "IDX_a421_${String(process.pid)}" on ${table} (idempotency_key)`,
  )
}

beforeAll(async () => {
  dataSource = new DataSource({ type: 'postgres', url: inject('postgresUrl'), entities: [entity] })
  await dataSource.initialize()
})
afterAll(async () => {
  await dataSource.query(`drop table if exists ${table}`)
  await dataSource.destroy()
})

const service = (): IdempotencyKeyService =>
  new IdempotencyKeyService({
    manager: dataSource.manager,
    idempotencyKeyRepository: dataSource.getRepository(entity),
  })
const columns = async (): Promise<string[]> =>
  (
    await dataSource.query<{ column_name: string }[]>(
      'select column_name from information_schema.columns where table_name = $1 order by 1',
      [table],
    )
  ).map(({ column_name }) => column_name)
/** What the original does: through the entity, which knows ten columns. */
const original = () => dataSource.getRepository(entity)

test('twenty processes at once: the table is made, or adopted, once', async () => {
  await dataSource.query(`drop table if exists ${table}`)
  const all = () => Array.from({ length: 20 }, () => migrate(dataSource, { table, adopt: true }))
  await Promise.all(all())
  expect(await original().countBy({})).toBe(0)
  await revert(dataSource, { table })
  await Promise.all(all())
  expect((await columns()).length).toBeGreaterThan(10)
})

test('a table that is there is not touched without being told to', async () => {
  await makeTable()
  await expect(migrate(dataSource, { table })).rejects.toMatchObject({
    code: 'config_invalid',
    message: expect.stringContaining('adopt: true') as string,
  })
  expect(await columns()).toHaveLength(10)
})

test('a table that is not Medusa’s is refused', async () => {
  await dataSource.query(`drop table if exists ${table}`)
  await dataSource.query(`create table ${table} (id text primary key, theirs int)`)
  await expect(migrate(dataSource, { table, adopt: true })).rejects.toMatchObject({
    message: expect.stringContaining('not that of Medusa v1') as string,
  })
  await dataSource.query(`drop table ${table}`)
})

test('adopted: rows stay, the original goes on beside us, each takes up the other’s keys; and back', async () => {
  await makeTable()
  await original().save({
    id: 'ikey_old',
    idempotency_key: 'old',
    recovery_point: 'payment_authorized',
  })
  await migrate(dataSource, { table, adopt: true })
  await migrate(dataSource, { table, adopt: true })

  expect((await service().initializeRequest('old', 'POST', {}, '/')).recovery_point).toBe(
    'payment_authorized',
  )
  await original().save({
    id: 'ikey_beside',
    idempotency_key: 'beside',
    response_code: 200,
    recovery_point: 'finished',
  })
  expect(await service().initializeRequest('beside', 'POST', {}, '/')).toMatchObject({
    id: 'ikey_beside',
    response_code: 200,
  })

  await service().initializeRequest('ours', 'POST', { id: 'c' }, '/')
  await service().workStage('ours', () =>
    Promise.resolve({ response_code: 201, response_body: { order: 1 } }),
  )
  expect(await original().findOneBy({ idempotency_key: 'ours' })).toMatchObject({
    recovery_point: 'finished',
    response_code: 201,
    response_body: { order: 1 },
  })

  await revert(dataSource, { table })
  expect(await columns()).toHaveLength(10)
  expect(await original().countBy({})).toBe(3)
  await migrate(dataSource, { table, adopt: true })
  expect((await service().initializeRequest('ours', 'POST', { id: 'c' }, '/')).response_code).toBe(
    201,
  )
})

test('while a long transaction has the table: a typed error in time, and the next call completes it', async () => {
  await makeTable()
  const other = dataSource.createQueryRunner()
  await other.startTransaction()
  await other.query(`lock table ${table} in access share mode`)
  await expect(migrate(dataSource, { table, adopt: true })).rejects.toMatchObject({
    code: 'store_unavailable',
  })
  expect(await columns()).toHaveLength(10)
  await other.rollbackTransaction()
  await other.release()
  await migrate(dataSource, { table, adopt: true })
  expect((await columns()).length).toBeGreaterThan(10)
})

test('interrupted half-way by hand: what is missing is added', async () => {
  await makeTable()
  await dataSource.query(
    `alter table ${table} add column owner text, add column attempt int not null default 1`,
  )
  await migrate(dataSource, { table, adopt: true })
  expect((await service().initializeRequest('k', 'POST', {}, '/')).recovery_point).toBe('started')
})

test('no row is rewritten: the table’s file and its rows stay where they are', async () => {
  await makeTable()
  await dataSource.query(
    `insert into ${table} (id, idempotency_key, recovery_point)
     select 'ikey_' || n, 'key-' || n, 'finished' from generate_series(1, 100000) n`,
  )
  const place = async () =>
    (
      await dataSource.query<unknown[]>(
        `select pg_relation_filenode('${table}'), pg_relation_size('${table}'), max(ctid::text), max(xmin::text) from ${table}`,
      )
    )[0]
  const before = await place()
  await migrate(dataSource, { table, adopt: true })
  expect(await place()).toEqual(before)
})

/** Goal: what a stage persists is in the record's commit, though MikroORM flushes after the work has returned. */
import { EntitySchema } from '@mikro-orm/core'
import { MikroORM } from '@mikro-orm/postgresql'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { mikroOrmStore } from '../../src/databases/mikro-orm.ts'
import { createIdempotency } from '../../src/index.ts'

const TABLE = `mikro_orm_${process.pid}`
const Ride = new EntitySchema<{ id: string; fare: number }>({
  name: 'Ride',
  tableName: `${TABLE}_ride`,
  properties: { id: { type: 'string', primary: true }, fare: { type: 'integer' } },
})

let orm: MikroORM
beforeAll(async () => {
  orm = await MikroORM.init({
    clientUrl: inject('postgresUrl'),
    entities: [Ride],
    ensureDatabase: false,
  })
  await orm.em.fork().execute(`create table ${TABLE}_ride (id text primary key, fare int not null)`)
})
afterAll(async () => {
  await orm.em
    .fork()
    .execute(`drop table ${TABLE}_ride, ${TABLE}, ${TABLE}_backlog, ${TABLE}_migration`)
  await orm.close()
})

test('41 · entities that are persisted and not flushed: in the commit, or rolled back with a fenced attempt', async () => {
  const store = mikroOrmStore(orm, { table: TABLE })
  await store.migrate()
  const idempotency = createIdempotency({ store })
  const rides = () => orm.em.fork().find(Ride, {}, { orderBy: { id: 1 } })
  const request = { operation: 'o', scope: 's', key: 'k', input: null }
  const stale = idempotency.run(request, async (_, run) => {
    await run.stage('a', (em) => void em.persist(em.create(Ride, { id: 'a', fare: 1 })))
    await orm.em.fork().execute(`update ${TABLE} set attempt = attempt + 1, owner = 'thief'`)
    await run.stage('b', (em) => void em.persist(em.create(Ride, { id: 'b', fare: 2 })))
  })
  await expect(stale).rejects.toMatchObject({ code: 'lease_lost' })
  expect((await rides()).map(({ id }) => id)).toEqual(['a'])
})

test('an error of the flush is the application’s own, and nothing is committed', async () => {
  const store = mikroOrmStore(orm, { table: TABLE })
  await store.migrate()
  const request = { operation: 'o', scope: 's', key: 'twice', input: null }
  const twice = createIdempotency({ store }).run(request, async (_, run) => {
    await run.stage('a', (em) => void em.persist(em.create(Ride, { id: 'a', fare: 3 })))
  })
  await expect(twice).rejects.toMatchObject({ code: '23505' })
  const [record] = await orm.em
    .fork()
    .execute<{ recovery_point: string }[]>(
      `select recovery_point from ${TABLE} where idempotency_key = 'twice'`,
    )
  expect(record).toEqual({ recovery_point: 'started' })
})

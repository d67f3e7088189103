/**
 * MikroORM, on PostgreSQL: the process dies in the middle of a stage, the retry runs it once.
 *
 * prints:
 * killed in the middle of a stage: no answer
 * retry: 201 {"to":"Oslo"}
 * once more: 201 {"to":"Oslo"} (replayed)
 * rides 1
 */
import { EntitySchema, MikroORM } from '@mikro-orm/postgresql'
import express from 'express'
import { createIdempotency } from 'pawl'
import { idempotent } from 'pawl/express'
import { mikroOrmStore } from 'pawl/mikro-orm'
import { surviveKill } from './killed.ts'

await surviveKill(import.meta.url, 'postgres', async ({ at, pause }) => {
  const Ride = new EntitySchema<{ id: number; destination: string }>({
    name: 'Ride',
    properties: {
      id: { type: 'integer', primary: true, autoincrement: true },
      destination: { type: 'text' },
    },
  })
  const orm = await MikroORM.init({ clientUrl: at, entities: [Ride] })
  await orm.em
    .fork()
    .execute('create table if not exists ride (id serial primary key, destination text)')
  const store = mikroOrmStore(orm)
  await store.migrate()
  const idempotency = createIdempotency({ store, lease: '1s' })

  const app = express().use(express.json())
  app.post(
    '/rides',
    idempotent(idempotency, { operation: 'create-ride', scope: 'public' }, async (req, run) => {
      const { to } = req.body as { to: string }
      const ride = await run.stage('ride_created', async (tx) => {
        tx.create(Ride, { destination: to })
        await tx.flush() // At the end of the stage at the latest.
        await pause()
        return { to }
      })
      return { status: 201, body: ride }
    }),
  )
  app.get('/rides', async (_, res) => {
    res.send(String(await orm.em.fork().count(Ride)))
  })
  return app
})

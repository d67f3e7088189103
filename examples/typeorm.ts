/**
 * TypeORM, on PostgreSQL: the process dies in the middle of a stage, the retry runs it once.
 *
 * prints:
 * killed in the middle of a stage: no answer
 * retry: 201 {"to":"Oslo"}
 * once more: 201 {"to":"Oslo"} (replayed)
 * rides 1
 */
import express from 'express'
import { createIdempotency } from 'pawl'
import { idempotent } from 'pawl/express'
import { typeormStore } from 'pawl/typeorm'
import { DataSource, EntitySchema } from 'typeorm'
import { surviveKill } from './killed.ts'

await surviveKill(import.meta.url, 'postgres', async ({ at, pause }) => {
  const Ride = new EntitySchema<{ id?: number; destination: string }>({
    name: 'ride',
    columns: { id: { type: 'int', primary: true, generated: true }, destination: { type: 'text' } },
  })
  const dataSource = new DataSource({
    type: 'postgres',
    url: at,
    entities: [Ride],
    synchronize: true,
  })
  await dataSource.initialize()
  const store = typeormStore(dataSource)
  await store.migrate()
  const idempotency = createIdempotency({ store, lease: '1s' })

  const app = express().use(express.json())
  app.post(
    '/rides',
    idempotent(idempotency, { operation: 'create-ride', scope: 'public' }, async (req, run) => {
      const { to } = req.body as { to: string }
      const ride = await run.stage('ride_created', async (tx) => {
        await tx.save(Ride, { destination: to })
        await pause()
        return { to }
      })
      return { status: 201, body: ride }
    }),
  )
  app.get('/rides', async (_, res) => {
    res.send(String(await dataSource.getRepository(Ride).count()))
  })
  return app
})

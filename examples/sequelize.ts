/**
 * Sequelize, on PostgreSQL: the process dies in the middle of a stage, the retry runs it once.
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
import { sequelizeStore } from 'pawl/sequelize'
import { DataTypes, Sequelize } from 'sequelize'
import { surviveKill } from './killed.ts'

await surviveKill(import.meta.url, 'postgres', async ({ at, pause }) => {
  const sequelize = new Sequelize(at, { logging: false })
  const Ride = sequelize.define('ride', { destination: DataTypes.TEXT })
  await Ride.sync()
  const store = sequelizeStore(sequelize)
  await store.migrate()
  const idempotency = createIdempotency({ store, lease: '1s' })

  const app = express().use(express.json())
  app.post(
    '/rides',
    idempotent(idempotency, { operation: 'create-ride', scope: 'public' }, async (req, run) => {
      const { to } = req.body as { to: string }
      const ride = await run.stage('ride_created', async (tx) => {
        await Ride.create({ destination: to }, { transaction: tx })
        await pause()
        return { to }
      })
      return { status: 201, body: ride }
    }),
  )
  app.get('/rides', async (_, res) => {
    res.send(String(await Ride.count()))
  })
  return app
})

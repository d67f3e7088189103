/**
 * Knex, on SQLite: the process dies in the middle of a stage, the retry runs it once.
 *
 * prints:
 * killed in the middle of a stage: no answer
 * retry: 201 {"to":"Oslo"}
 * once more: 201 {"to":"Oslo"} (replayed)
 * rides 1
 */
import express from 'express'
import knex from 'knex'
import { createIdempotency } from 'pawl'
import { idempotent } from 'pawl/express'
import { knexStore } from 'pawl/knex'
import { surviveKill } from './killed.ts'

await surviveKill(import.meta.url, 'sqlite', async ({ at, pause }) => {
  const db = knex({
    client: 'better-sqlite3',
    connection: { filename: at },
    useNullAsDefault: true,
  })
  const isThere = await db.schema.hasTable('rides')
  if (!isThere) await db.schema.createTable('rides', (table) => table.text('destination'))
  const store = knexStore(db)
  await store.migrate()
  const idempotency = createIdempotency({ store, lease: '1s' })

  const app = express().use(express.json())
  app.post(
    '/rides',
    idempotent(idempotency, { operation: 'create-ride', scope: 'public' }, async (req, run) => {
      const { to } = req.body as { to: string }
      const ride = await run.stage('ride_created', async (tx) => {
        await tx('rides').insert({ destination: to })
        await pause()
        return { to }
      })
      return { status: 201, body: ride }
    }),
  )
  app.get('/rides', async (_, res) => {
    const rides = await db('rides').select()
    res.send(String(rides.length))
  })
  return app
})

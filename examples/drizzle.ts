/**
 * Drizzle, on PostgreSQL: the process dies in the middle of a stage, the retry runs it once.
 *
 * prints:
 * killed in the middle of a stage: no answer
 * retry: 201 {"to":"Oslo"}
 * once more: 201 {"to":"Oslo"} (replayed)
 * rides 1
 */
import { drizzle } from 'drizzle-orm/node-postgres'
import { pgTable, text } from 'drizzle-orm/pg-core'
import express from 'express'
import { createIdempotency } from 'pawl'
import { drizzleStore } from 'pawl/drizzle'
import { idempotent } from 'pawl/express'
import pg from 'pg'
import { surviveKill } from './killed.ts'

await surviveKill(import.meta.url, 'postgres', async ({ at, pause }) => {
  const rides = pgTable('rides', { destination: text() })
  const db = drizzle(new pg.Pool({ connectionString: at }))
  await db.execute('create table if not exists rides (destination text)')
  const store = drizzleStore(db)
  await store.migrate()
  const idempotency = createIdempotency({ store, lease: '1s' })

  const app = express().use(express.json())
  app.post(
    '/rides',
    idempotent(idempotency, { operation: 'create-ride', scope: 'public' }, async (req, run) => {
      const { to } = req.body as { to: string }
      const ride = await run.stage('ride_created', async (tx) => {
        await tx.insert(rides).values({ destination: to })
        await pause()
        return { to }
      })
      return { status: 201, body: ride }
    }),
  )
  app.get('/rides', async (_, res) => {
    res.send(String(await db.$count(rides)))
  })
  return app
})

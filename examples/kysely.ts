/**
 * Kysely, on PostgreSQL: the process dies in the middle of a stage, the retry runs it once.
 *
 * prints:
 * killed in the middle of a stage: no answer
 * retry: 201 {"to":"Oslo"}
 * once more: 201 {"to":"Oslo"} (replayed)
 * rides 1
 */
import express from 'express'
import { Kysely, PostgresDialect } from 'kysely'
import { createIdempotency } from 'pawl'
import { idempotent } from 'pawl/express'
import { kyselyStore } from 'pawl/kysely'
import pg from 'pg'
import { surviveKill } from './killed.ts'

await surviveKill(import.meta.url, 'postgres', async ({ at, pause }) => {
  const pool = new pg.Pool({ connectionString: at })
  const db = new Kysely<{ rides: { destination: string } }>({
    dialect: new PostgresDialect({ pool }),
  })
  await db.schema.createTable('rides').ifNotExists().addColumn('destination', 'text').execute()
  const store = kyselyStore(db)
  await store.migrate()
  const idempotency = createIdempotency({ store, lease: '1s' })

  const app = express().use(express.json())
  app.post(
    '/rides',
    idempotent(idempotency, { operation: 'create-ride', scope: 'public' }, async (req, run) => {
      const { to } = req.body as { to: string }
      const ride = await run.stage('ride_created', async (tx) => {
        await tx.insertInto('rides').values({ destination: to }).execute()
        await pause()
        return { to }
      })
      return { status: 201, body: ride }
    }),
  )
  app.get('/rides', async (_, res) => {
    const rides = await db.selectFrom('rides').selectAll().execute()
    res.send(String(rides.length))
  })
  return app
})

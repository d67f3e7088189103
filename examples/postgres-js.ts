/**
 * postgres.js: the process dies in the middle of a stage, the retry runs it once.
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
import { postgresJsStore } from 'pawl/postgres'
import postgres from 'postgres'
import { surviveKill } from './killed.ts'

await surviveKill(import.meta.url, 'postgres', async ({ at, pause }) => {
  const sql = postgres(at, { onnotice: () => undefined })
  await sql`create table if not exists rides (destination text not null)`
  const store = postgresJsStore(sql)
  await store.migrate()
  const idempotency = createIdempotency({ store, lease: '1s' })

  const app = express().use(express.json())
  app.post(
    '/rides',
    idempotent(idempotency, { operation: 'create-ride', scope: 'public' }, async (req, run) => {
      const { to } = req.body as { to: string }
      const ride = await run.stage('ride_created', async (tx) => {
        await tx`insert into rides (destination) values (${to})`
        await pause()
        return { to }
      })
      return { status: 201, body: ride }
    }),
  )
  app.get('/rides', async (_, res) => {
    const [row] = await sql<{ count: number }[]>`select count(*)::int as count from rides`
    res.send(String(row?.count))
  })
  return app
})

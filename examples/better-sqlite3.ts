/**
 * better-sqlite3: the process dies in the middle of a stage, the retry runs it once.
 *
 * prints:
 * killed in the middle of a stage: no answer
 * retry: 201 {"to":"Oslo"}
 * once more: 201 {"to":"Oslo"} (replayed)
 * rides 1
 */
import Database from 'better-sqlite3'
import express from 'express'
import { createIdempotency } from 'pawl'
import { betterSqlite3Store } from 'pawl/better-sqlite3'
import { idempotent } from 'pawl/express'
import { surviveKill } from './killed.ts'

await surviveKill(import.meta.url, 'sqlite', async ({ at, pause }) => {
  const db = new Database(at) // Pawl's own: what others send on it may be in a stage's transaction.
  db.exec('create table if not exists rides (destination text)')
  const store = betterSqlite3Store(db)
  await store.migrate()
  const idempotency = createIdempotency({ store, lease: '1s' })

  const app = express().use(express.json())
  app.post(
    '/rides',
    idempotent(idempotency, { operation: 'create-ride', scope: 'public' }, async (req, run) => {
      const { to } = req.body as { to: string }
      const ride = await run.stage('ride_created', async (tx) => {
        tx.prepare('insert into rides (destination) values (?)').run(to)
        await pause()
        return { to }
      })
      return { status: 201, body: ride }
    }),
  )
  app.get('/rides', async (_, res) => {
    const rides = new Database(at, { readonly: true }).prepare('select * from rides').all()
    res.send(String(rides.length))
  })
  return app
})

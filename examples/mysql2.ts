/**
 * mysql2, on MariaDB: the process dies in the middle of a stage, the retry runs it once.
 *
 * prints:
 * killed in the middle of a stage: no answer
 * retry: 201 {"to":"Oslo"}
 * once more: 201 {"to":"Oslo"} (replayed)
 * rides 1
 */
import express from 'express'
import mysql from 'mysql2/promise'
import { createIdempotency } from 'pawl'
import { idempotent } from 'pawl/express'
import { mysql2Store } from 'pawl/mysql2'
import { surviveKill } from './killed.ts'

await surviveKill(import.meta.url, 'mariadb', async ({ at, pause }) => {
  const pool = mysql.createPool({ uri: at })
  await pool.query('create table if not exists rides (destination text)')
  const store = mysql2Store(pool)
  await store.migrate()
  const idempotency = createIdempotency({ store, lease: '1s' })

  const app = express().use(express.json())
  app.post(
    '/rides',
    idempotent(idempotency, { operation: 'create-ride', scope: 'public' }, async (req, run) => {
      const { to } = req.body as { to: string }
      const ride = await run.stage('ride_created', async (tx) => {
        await tx.execute('insert into rides (destination) values (?)', [to])
        await pause()
        return { to }
      })
      return { status: 201, body: ride }
    }),
  )
  app.get('/rides', async (_, res) => {
    const [rows] = await pool.query<mysql.RowDataPacket[]>('select * from rides')
    res.send(String(rows.length))
  })
  return app
})

/**
 * A route that knows nothing of Pawl, behind the middleware: it still gets one run, one stored response, and replay.
 * Code below it finds the run by `currentRun()`; what it does in a stage is committed once.
 *
 * prints:
 * first: 200 {"booked":"seat 12"}
 * again: 200 {"booked":"seat 12"} (replayed)
 * other seat, same key: 422 payload_mismatch
 * no key: 400 key_missing
 * seats 1
 */
import { PGlite } from '@electric-sql/pglite'
import express from 'express'
import { createIdempotency } from 'pawl'
import { idempotent } from 'pawl/express'
import { pgliteStore } from 'pawl/pglite'
import { listen, post } from './support.ts'

const db = await PGlite.create()
await db.exec('create table seats (name text)')
const store = pgliteStore(db)
await store.migrate()
const idempotency = createIdempotency({ store })

/** Somewhere far below the route. */
async function book(seat: string): Promise<void> {
  await idempotency.currentRun().stage('booked', async (tx) => {
    await tx.query('insert into seats values ($1)', [seat])
  })
}

const app = express()
app.use(express.json())
app.post('/seats', idempotent(idempotency, { operation: 'book-seat', scope: 'public' }))
app.post('/seats', async (req, res) => {
  const { seat } = req.body as { seat: string }
  await book(seat)
  res.json({ booked: seat })
})

const server = await listen(app)
const send = (seat: string, key?: string) => post(server, '/seats', key, { seat })
console.log(`first: ${(await send('seat 12', 'k-1')).line}`)
console.log(`again: ${(await send('seat 12', 'k-1')).line}`)
console.log(`other seat, same key: ${(await send('seat 14', 'k-1')).line}`)
console.log(`no key: ${(await send('seat 12')).line}`)
const { rows } = await db.query<{ count: number }>('select count(*)::int as count from seats')
console.log(`seats ${String(rows[0]?.count)}`)
server.close()
await idempotency.close()
await db.close()

/**
 * A route with a stage, an external call and a finish, on Express. Its first attempt fails between the call and the
 * finish; the retry goes on behind what was committed.
 *
 * prints:
 * first try: 500
 * retry: 201 {"id":1,"to":"Oslo","charge":"ch_1"}
 * once more: 201 {"id":1,"to":"Oslo","charge":"ch_1"} (replayed)
 * rides 1, charges 1
 */
import { PGlite } from '@electric-sql/pglite'
import express from 'express'
import { createIdempotency } from 'pawl'
import { idempotent } from 'pawl/express'
import { pgliteStore } from 'pawl/pglite'
import { listen, post } from './support.ts'

const db = await PGlite.create()
await db.exec('create table rides (id serial primary key, destination text, charge text)')
const store = pgliteStore(db)
await store.migrate()
const idempotency = createIdempotency({ store })

let isBroken = true
const charges = new Map<string, string>()
const charge = (idempotencyKey: string): { id: string } => {
  const id = charges.get(idempotencyKey) ?? `ch_${String(charges.size + 1)}`
  charges.set(idempotencyKey, id)
  return { id }
}

const app = express()
app.use(express.json())
app.post(
  '/rides',
  idempotent(idempotency, { operation: 'create-ride', scope: 'public' }, async (req, run) => {
    const { to } = req.body as { to: string }
    const ride = await run.stage('ride_created', async (tx) => {
      const sql = 'insert into rides (destination) values ($1) returning id'
      return { id: (await tx.query<{ id: number }>(sql, [to])).rows[0]?.id ?? 0, to }
    })
    const paid = await run.call('charged', ({ idempotencyKey }) => charge(idempotencyKey))
    if (isBroken) throw new Error('the process could just as well have died here')
    return await run.finish(async (tx) => {
      await tx.query('update rides set charge = $1 where id = $2', [paid.id, ride.id])
      return { status: 201, body: { ...ride, charge: paid.id } }
    })
  }),
)
app.use(((_error, _req, res, _next) => void res.sendStatus(500)) as express.ErrorRequestHandler)

const server = await listen(app)
const send = () => post(server, '/rides', 'ride-7f3a', { to: 'Oslo' })
console.log(`first try: ${String((await send()).status)}`)
isBroken = false
console.log(`retry: ${(await send()).line}`)
console.log(`once more: ${(await send()).line}`)
const { rows } = await db.query<{ count: number }>('select count(*)::int as count from rides')
console.log(`rides ${String(rows[0]?.count)}, charges ${String(charges.size)}`)
server.close()
await idempotency.close()
await db.close()

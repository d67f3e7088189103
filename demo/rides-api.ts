/**
 * The rides API: an Express 5 application that books a ride, charges the card and writes a receipt. With the header
 * `Demo-Crash` it kills itself, once in each attempt; take `crashes` away and this is how an application uses Pawl.
 */
import express, { type Request } from 'express'
import { createIdempotency, type Failpoint, systemRuntime } from 'pawl'
import { idempotent } from 'pawl/express'
import { endWithDirector, setting, tell } from './child.ts'
import { createTables, openDatabase, SCHEMA } from './database.ts'

const url = process.env['DATABASE_URL']
const db = await openDatabase(url ? { url } : { folder: setting('DEMO_FOLDER') })
await createTables(db)
await db.store.migrate()

/** Where each attempt dies: the process is killed right there, with no chance to clean up. */
const crashes: readonly Failpoint[] = ['stage.commit.after', 'call.work.after', 'respond.before']
const doomed = new Set<string>()

const idempotency = createIdempotency({
  store: db.store,
  lease: '1s', // Short, so that nobody waits long in a demo; the default is 10 s.
  onEvent: (event) => tell({ type: 'event', event }),
  runtime: {
    ...systemRuntime,
    failpoint: async (point, { id, attempt }) => {
      if (!doomed.has(id) || crashes[attempt - 1] !== point) return
      tell({ type: 'dying', point })
      process.kill(process.pid, 'SIGKILL')
      await new Promise(() => undefined)
    },
  },
})

interface Ride {
  readonly id: string
  readonly destination: string
  readonly fare: number
}

const app = express()
app.use(express.json())

app.post(
  '/rides',
  idempotent(
    idempotency,
    { operation: 'create-ride', scope: () => 'rider-1' },
    async (req: Request, run) => {
      if (req.get('demo-crash') !== undefined) doomed.add(run.id)
      const { to, fare } = req.body as { to: string; fare: number }

      const ride = await run.stage('ride_created', async (tx) => {
        const { rows } = await tx.query(
          `insert into ${SCHEMA}.rides (rider, destination, fare) values ($1, $2, $3) returning id, destination, fare`,
          [run.scope, to, fare],
        )
        return rows[0] as Ride
      })

      const charge = await run.call('charged', async ({ idempotencyKey, signal }) => {
        const response = await fetch(`${setting('DEMO_PROVIDER')}/charges`, {
          method: 'POST',
          headers: { 'idempotency-key': idempotencyKey },
          body: JSON.stringify({ amount: ride.fare }),
          signal,
        })
        if (!response.ok) throw new Error(`the provider answered ${response.status}`)
        return (await response.json()) as { id: string }
      })

      return run.finish(async (tx) => {
        await tx.query(`update ${SCHEMA}.rides set charge_id = $1 where id = $2`, [
          charge.id,
          ride.id,
        ])
        const { rows } = await tx.query(
          `insert into ${SCHEMA}.receipts (ride_id, charge_id, amount) values ($1, $2, $3) returning id`,
          [ride.id, charge.id, ride.fare],
        )
        const [receipt] = rows as { id: string }[]
        const body = {
          ride: ride.id,
          to: ride.destination,
          charge: charge.id,
          receipt: receipt?.id,
        }
        return { status: 201, headers: { location: `/rides/${ride.id}` }, body }
      })
    },
  ),
)

app.get('/rides', async (_req, res) => {
  const { rows } = await db.query(
    `select r.id as ride, r.destination, r.fare, r.charge_id as charge, count(p.id)::int as receipts
       from ${SCHEMA}.rides r left join ${SCHEMA}.receipts p on p.ride_id = r.id group by r.id order by r.booked_at`,
  )
  res.json(rows)
})

const server = app.listen(Number(setting('DEMO_PORT')), '127.0.0.1', (error) => {
  if (error !== undefined) throw error
  const address = server.address()
  if (typeof address === 'object' && address !== null)
    tell({ type: 'listening', port: address.port })
})

endWithDirector(async () => {
  server.close()
  await idempotency.close({ wait: '2s' })
  await db.close()
})

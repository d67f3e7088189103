/**
 * A cart becomes an order in three stages, with the service of Medusa v1: a route that loops over recovery points. The
 * provider is down at the first attempt; the retry goes on where that one stopped.
 *
 * `DATABASE_URL` names a PostgreSQL; without it, one from npm is started in a temporary folder.
 *
 * prints:
 * attempt 1: 502 the payment provider is down
 * attempt 2: 201 {"cart":"c1","order":1}
 * attempt 3: 201 {"cart":"c1","order":1}
 * another cart, same key: 409 Failed to create idempotency key
 * reservations 1, payments 1, orders 1
 */
import express, { type Request, type Response } from 'express'
import {
  IdempotencyKey,
  idempotencyRequests,
  initializeIdempotencyRequest,
  migrate,
} from 'pawl/medusa'
import { DataSource } from 'typeorm'
import { database, listen } from '../support.ts'
import { completeCart } from './complete-cart.ts'
import { containerOf } from './container.ts'

const { url, stop } = await database()
const dataSource = new DataSource({ type: 'postgres', url, entities: [IdempotencyKey] })
await dataSource.initialize()
await migrate(dataSource)
await dataSource.query('create table if not exists reservation (cart text)')
await dataSource.query('create table if not exists payment (cart text)')
await dataSource.query('create table if not exists cart_order (id serial, cart text)')

const provider = { isDown: true }
const scope = containerOf(dataSource)
const app = express()
app.use(idempotencyRequests)
app.post('/carts/:id/complete', async (req: Request<{ id: string }>, res: Response) => {
  const key = await initializeIdempotencyRequest(Object.assign(req, { scope }), res).catch(
    () => undefined,
  )
  if (key === undefined) return // It has answered: 409.
  try {
    const done = await completeCart(scope, key, req.params.id, provider)
    res.status(done.response_code).json(done.response_body)
  } catch (error) {
    res.status(502).send((error as Error).message)
  }
})

const server = await listen(app)
const address = server.address()
const port = typeof address === 'object' ? address?.port : undefined
async function complete(cart: string): Promise<string> {
  const headers = { 'idempotency-key': 'checkout-1' }
  const target = `http://127.0.0.1:${String(port)}/carts/${cart}/complete`
  const response = await fetch(target, { method: 'POST', headers })
  return `${String(response.status)} ${await response.text()}`
}

console.log('attempt 1:', await complete('c1'))
provider.isDown = false
console.log('attempt 2:', await complete('c1'))
console.log('attempt 3:', await complete('c1'))
console.log('another cart, same key:', await complete('c2'))
const count = async (table: string): Promise<string> => {
  const [row] = await dataSource.query<{ count: string }[]>(`select count(*) from ${table}`)
  return row?.count ?? '?'
}
const [reservations, payments, orders] = [
  await count('reservation'),
  await count('payment'),
  await count('cart_order'),
]
console.log(`reservations ${reservations}, payments ${payments}, orders ${orders}`)

server.close()
await dataSource.query('drop table reservation, payment, cart_order, idempotency_key')
await dataSource.destroy()
await stop()

/**
 * A browser and a webhook finish the same order. They send different bytes; both say by `fingerprint` which work they
 * mean, so they share one record and there is one winner.
 *
 * prints:
 * browser: 201 {"order":"order_42"}
 * webhook: finished, replayed true
 * another order under that key: mismatch
 * orders 1
 */
import { PGlite } from '@electric-sql/pglite'
import { createAdaptorServer } from '@hono/node-server'
import { createIdempotency, type Run } from 'pawl'
import { idempotent } from 'pawl/fetch'
import { pgliteStore } from 'pawl/pglite'
import type { Transaction } from '@electric-sql/pglite'
import { listen, post } from './support.ts'

const db = await PGlite.create()
await db.exec('create table orders (id text)')
const store = pgliteStore(db)
await store.migrate()
const idempotency = createIdempotency({ store })

const completeOrder = (order: string, run: Run<Transaction>) =>
  run.finish(async (tx) => {
    await tx.query('insert into orders values ($1)', [order])
    return { status: 201, body: { order } }
  })

/** The shop: `POST /orders/order_42/complete`, with the order's id as the key. */
const browser = idempotent(
  idempotency,
  {
    operation: 'complete-order',
    scope: 'public',
    fingerprint: (request) => new URL(request.url).pathname.split('/')[2] ?? null,
  },
  async (request, run) => {
    const { order } = (await request.json()) as { order: string }
    return await completeOrder(order, run)
  },
)

/** The payment provider's event about the same order. */
const webhook = (key: string, event: { type: string; order: string }) =>
  idempotency.run(
    { operation: 'complete-order', scope: 'public', key, input: event, fingerprint: event.order },
    ({ order }, run) => completeOrder(order, run),
  )

const server = await listen(createAdaptorServer({ fetch: browser }))
const { line } = await post(server, '/orders/order_42/complete', 'order_42', { order: 'order_42' })
console.log(`browser: ${line}`)
const told = await webhook('order_42', { type: 'payment.succeeded', order: 'order_42' })
console.log(`webhook: ${told.kind}, replayed ${String(told.kind === 'finished' && told.replayed)}`)
const other = await webhook('order_42', { type: 'payment.succeeded', order: 'order_43' })
console.log(`another order under that key: ${other.kind}`)
const { rows } = await db.query<{ count: number }>('select count(*)::int as count from orders')
console.log(`orders ${String(rows[0]?.count)}`)
server.close()
await idempotency.close()
await db.close()

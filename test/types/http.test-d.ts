/** Goal: a route is typed like its framework, and one without a scope does not compile. */
import express, { type Request as Native } from 'express'
import type pg from 'pg'
import { expectTypeOf, test } from 'vitest'
import { createIdempotency } from '../../src/index.ts'
import { pgStore } from '../../src/databases/pg.ts'
import { idempotent } from '../../src/frameworks/express.ts'
import { idempotent as idempotentFetch } from '../../src/frameworks/fetch.ts'

declare const pool: pg.Pool
const idempotency = createIdempotency({ store: pgStore(pool) })
const app = express()
const operation = 'create-ride'

/** What an application's own authentication puts on a request. */
interface Authenticated extends Native {
  auth: { userId: string }
}

test('a handler gets the request and the driver’s own transaction', () => {
  app.post(
    '/rides/:id',
    idempotent(
      idempotency,
      { operation, scope: (req) => req.get('x-user') ?? '' },
      async (req, run) => {
        expectTypeOf(req.originalUrl).toEqualTypeOf<string>()
        await run.stage('a', (tx) => {
          expectTypeOf(tx).toEqualTypeOf<pg.PoolClient>()
        })
        return await run.finish(() => ({ status: 201, body: req.path }))
      },
    ),
  )
})

test('a request of the application’s own type is taken, in scope and in the handler', () => {
  const scope = (req: Authenticated) => req.auth.userId
  app.post(
    '/rides',
    idempotent(idempotency, { operation, scope }, (req: Authenticated) => ({
      body: req.auth.userId,
    })),
  )
  app.patch(
    '/rides',
    idempotent(idempotency, { operation, scope: (req: Native) => [req.hostname, 'u'] }),
  )
  app.use(idempotent(idempotency, { operation, scope: 'public' }))
})

test('a scope that is missing, constant, possibly undefined or no text does not compile', () => {
  // @ts-expect-error scope is required
  idempotent(idempotency, { operation })
  // @ts-expect-error a constant is one bucket for everybody; 'public' says so explicitly
  idempotent(idempotency, { operation, scope: 'everybody' })
  // @ts-expect-error undefined is nobody
  idempotent(idempotency, { operation, scope: (req) => req.get('x-user') })
  // @ts-expect-error a number is no scope
  idempotent(idempotency, { operation, scope: () => 1 })
  // @ts-expect-error scope is required with fetch too
  idempotentFetch(idempotency, { operation }, () => ({}))
})

test('an option that is misspelt does not compile', () => {
  // @ts-expect-error retention
  idempotent(idempotency, { operation, scope: 'public', retentoin: '1h' })
})

test('a fetch handler keeps the further arguments of its framework', () => {
  const handler = idempotentFetch(
    idempotency,
    { operation, scope: (request) => request.headers.get('x-user') ?? '' },
    async (request, run, context: { params: { id: string } }) => {
      await run.stage('a', (tx) => {
        expectTypeOf(tx).toEqualTypeOf<pg.PoolClient>()
      })
      return Response.json({ url: request.url, id: context.params.id })
    },
  )
  expectTypeOf(handler).returns.toEqualTypeOf<Promise<Response>>()
  expectTypeOf(handler).parameters.toEqualTypeOf<[Request, { params: { id: string } }]>()
})

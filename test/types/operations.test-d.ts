/** What the compiler knows of a registered operation: its input, its `tx`, and who may be given it. */
import type pg from 'pg'
import { expectTypeOf, test } from 'vitest'
import { idempotent } from '../../src/frameworks/express.ts'
import type { Idempotency, Operation, ResponseRun, Run } from '../../src/index.ts'
import { createCompleter, type CompleterReport, type Worker } from '../../src/workers/index.ts'

declare const idempotency: Idempotency<pg.PoolClient, 'serializable'>
declare const responses: Idempotency<never, never>

interface Ride {
  readonly to: string
}

test('the input is that of the handler, everywhere', () => {
  const ride = idempotency.operation('book-ride', {
    handler: (input: Ride, run) => {
      expectTypeOf(run).toEqualTypeOf<Run<pg.PoolClient, 'serializable'>>()
      return { body: input.to }
    },
    drain: { '0': (input) => ({ body: input.to }) },
    resolvers: {
      charged: ({ input, idempotencyKey }) => ({ kind: 'done', result: input.to + idempotencyKey }),
    },
    authorize: ({ input }) => input.to !== '',
  })
  expectTypeOf(ride).toEqualTypeOf<Operation<Ride>>()
  void ride.run({ scope: 'u1', key: 'k', input: { to: 'Oslo' } })
  // @ts-expect-error a ride goes somewhere
  void ride.run({ scope: 'u1', key: 'k', input: { from: 1 } })
  idempotent(idempotency, { operation: ride, scope: 'public', input: (req) => req.body as Ride })
  expectTypeOf(createCompleter(idempotency, { operations: [ride] })).toEqualTypeOf<
    Worker<CompleterReport>
  >()
})

test('an input is JSON', () => {
  // @ts-expect-error a Date comes back as a string
  idempotency.operation('book-ride', { handler: (_: { at: Date }) => undefined })
})

test('over a store without transactions there is no stage', () => {
  responses.operation('book-ride', {
    handler: (_: Ride, run) => {
      expectTypeOf(run).toEqualTypeOf<ResponseRun>()
    },
  })
})

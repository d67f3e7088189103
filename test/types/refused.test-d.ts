/** Goal: what must not compile, does not. Method: `@ts-expect-error` fails by itself when the error goes away. */
import { test } from 'vitest'
import { createIdempotency } from '../../src/index.ts'

test('an idempotency without a store does not compile', () => {
  // @ts-expect-error `store` is required
  createIdempotency({})
})

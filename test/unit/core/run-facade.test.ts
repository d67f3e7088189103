/** Goal: what a handler does with its run, other than call it, works as with any object. */
import { expect, test } from 'vitest'
import { createIdempotency, type Run } from '../../../src/index.ts'
import { memoryStore } from '../../../src/memory/index.ts'

/** Runs a handler with what `pass` makes of the run. */
async function passedOn(pass: (run: Run<void>) => Run<void>): Promise<unknown> {
  const idempotency = createIdempotency({ store: memoryStore() })
  const request = { operation: 'book', scope: 's', key: 'k', input: null }
  const result = await idempotency.run(request, async (_, run) => {
    const { stage, signal, recoveryPoint, key } = pass(run)
    expect([signal.aborted, recoveryPoint, key]).toEqual([false, 'started', 'k'])
    return { body: await stage('booked', () => 7) }
  })
  return result.kind
}

test.each([
  ['as it is', (run: Run<void>) => run],
  ['as a copy', (run: Run<void>) => ({ ...run })],
  ['behind a proxy', (run: Run<void>) => new Proxy(run, {})],
  ['as a prototype', (run: Run<void>) => Object.create(run) as Run<void>],
])('a run is passed on %s: signal, recovery point and steps are there', async (_, pass) => {
  expect(await passedOn(pass)).toBe('finished')
})

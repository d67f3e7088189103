/** Goal: whoever listens never disturbs what it listens to. */
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { announcer, type PawlEvent } from '../../../src/core/events.ts'

const event: PawlEvent = { type: 'unprotected', operation: 'charge', why: 'no key' }
const warned = async (): Promise<string> => {
  const [warning] = (await once(process, 'warning')) as [Error]
  return warning.message
}

test('a listener that throws is warned of', async () => {
  const warning = warned()
  announcer(() => {
    throw new Error('logger down')
  })(event)
  expect(await warning).toContain('logger down')
})

test('a listener that rejects is warned of, and does not end the process', async () => {
  const warning = warned()
  const listener: unknown = async () => {
    await Promise.resolve()
    throw new Error('collector down')
  }
  announcer(listener as (event: PawlEvent) => void)(event)
  expect(await warning).toContain('collector down')
})

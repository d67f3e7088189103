/** Goal: a question to the store is tried again when it must be, and no oftener, whenever its answers come. */
import { expect, test } from 'vitest'
import { ask } from '../../../src/core/ask.ts'
import { StoreUnavailableError } from '../../../src/core/errors.ts'
import { systemRuntime } from '../../../src/core/runtime.ts'
import { AbortedError } from '../../../src/core/store.ts'

const asking = { runtime: systemRuntime, storeTimeoutMs: 200 }
const after = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Asks with one answer after the other, and says how often. */
async function asked(
  answers: readonly (() => Promise<string>)[],
  late?: (reply: string) => Promise<void>,
): Promise<{ answer: unknown; times: number }> {
  let times = 0
  const next = (): Promise<string> => {
    const answer = answers[times++]
    if (answer === undefined) throw new Error('asked once more than there are answers')
    return answer()
  }
  const answer: unknown = await ask(asking, 'asking', next, late).catch((error: unknown) => error)
  await after(150)
  return { answer, times }
}

test('an answer is asked for once', async () => {
  expect(await asked([async () => 'here'])).toEqual({ answer: 'here', times: 1 })
})

test('an abort is asked again, and what is not one is thrown', async () => {
  const own = new Error('own')
  const aborted = (): Promise<string> => Promise.reject(new AbortedError(new Error('deadlock')))
  expect(await asked([aborted, async () => 'here'])).toEqual({ answer: 'here', times: 2 })
  expect(await asked([aborted, () => Promise.reject(own)])).toEqual({ answer: own, times: 2 })
})

test('an error that comes behind its time begins no other try', async () => {
  const lateError = async (): Promise<string> => {
    await after(160)
    throw new StoreUnavailableError('asking')
  }
  const slow = async (): Promise<string> => {
    await after(60)
    return 'here'
  }
  expect(await asked([lateError, slow])).toEqual({ answer: 'here', times: 2 })
})

test('a store that throws instead of rejecting is asked again as well', async () => {
  const thrown = (): Promise<string> => {
    throw new AbortedError(new Error('deadlock'))
  }
  expect(await asked([thrown, async () => 'here'])).toEqual({ answer: 'here', times: 2 })
})

test('a store that answers without a promise is understood', async () => {
  const plain = (() => 'here') as unknown as () => Promise<string>
  expect(await asked([plain])).toEqual({ answer: 'here', times: 1 })
})

test('a timer that cannot be stopped begins no other try', async () => {
  const runtime = {
    ...systemRuntime,
    timer: (ms: number, call: () => void) => {
      setTimeout(call, ms)
      return () => undefined
    },
  }
  let times = 0
  const question = async (): Promise<string> => {
    times++
    return 'here'
  }
  expect(await ask({ ...asking, runtime }, 'asking', question)).toBe('here')
  await after(150)
  expect(times).toBe(1)
})

test('answers that nobody waits for any more are told', async () => {
  const told: string[] = []
  const slow = async (): Promise<string> => {
    await after(220)
    return 'late'
  }
  const { answer } = await asked([slow, slow, slow], async (reply) => void told.push(reply))
  expect(answer).toMatchObject({ code: 'store_unavailable' })
  await after(250)
  expect(told.length).toBeGreaterThan(0)
  expect(new Set(told)).toEqual(new Set(['late']))
})

/** Goal: many callers share a statement without a timer, none waits for nothing, and one bad item fails alone. */
import { expect, test } from 'vitest'
import { Batch, type BatchOptions } from '../../../src/sql/batch.ts'

const limits = {
  doing: 'testing',
  failsTogether: () => false,
  now: () => 0,
  sizeMax: 9,
  weigh: () => 1,
  weightMax: 100,
  waitingMax: 9,
}

function gathering(options: Partial<BatchOptions<number, number>> = {}) {
  const sent: (readonly number[])[] = []
  const open: (() => void)[] = []
  const clock = { now: 0 }
  const batch = new Batch<number, number>({
    ...limits,
    run: async (items) => {
      sent.push(items)
      await new Promise<void>((resolve) => open.push(resolve))
      return items.map((item) => item * 10)
    },
    now: () => clock.now,
    sizeMax: 3,
    waitingMax: 10,
    ...options,
  })
  return { batch, sent, clock, answer: () => open.shift()?.() }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('the first goes at once; those that come meanwhile go together, at most sizeMax, in order', async () => {
  const { batch, sent, answer } = gathering()
  const answers = [1, 2, 3, 4, 5].map((item) => batch.add(item))
  expect(sent).toEqual([[1]])
  answer()
  await turn()
  expect(sent).toEqual([[1], [2, 3, 4]])
  answer()
  await turn()
  answer()
  expect(await Promise.all(answers)).toEqual([10, 20, 30, 40, 50])
  expect(sent).toEqual([[1], [2, 3, 4], [5]])
})

test('heavy items share a statement up to its weight, and one that is too heavy goes alone', async () => {
  const { batch, sent, answer } = gathering({ weigh: (item) => item, weightMax: 10 })
  const answers = [1, 6, 4, 3, 50, 2].map((item) => batch.add(item))
  for (let sending = 0; sending < 5; sending++) {
    answer()
    await turn()
  }
  await Promise.all(answers)
  expect(sent).toEqual([[1], [6, 4], [3], [50], [2]])
})

test('one poisoned item fails alone', async () => {
  const poison = new Error('poison')
  const batch = new Batch<number, number>({
    ...limits,
    run: async (items) => {
      await turn()
      if (items.includes(2)) throw poison
      return items
    },
  })
  const answers = await Promise.allSettled([0, 1, 2, 3].map((item) => batch.add(item)))
  expect(answers.map(({ status }) => status)).toEqual([
    'fulfilled',
    'fulfilled',
    'rejected',
    'fulfilled',
  ])
})

test('a statement without an answer fails all of its items, once', async () => {
  let asked = 0
  const batch = new Batch<number, number>({
    ...limits,
    run: async () => {
      asked++
      await turn()
      throw new Error('connection lost')
    },
    failsTogether: () => true,
  })
  const answers = await Promise.allSettled([0, 1, 2].map((item) => batch.add(item)))
  expect(answers.every(({ status }) => status === 'rejected')).toBe(true)
  expect(asked).toBe(2)
})

test('behind a statement that hangs, the next ones go past it', async () => {
  const { batch, sent, clock } = gathering()
  void batch.add(1)
  void batch.add(2)
  clock.now = 999
  void batch.add(3)
  expect(sent).toEqual([[1]])
  clock.now = 1_000
  void batch.add(4)
  expect(sent).toEqual([[1], [2, 3, 4]])
})

test('too many waiters are refused rather than kept', async () => {
  const { batch } = gathering({ waitingMax: 2 })
  void batch.add(1)
  void batch.add(2)
  void batch.add(3)
  await expect(batch.add(4)).rejects.toThrow(expect.objectContaining({ code: 'store_unavailable' }))
})

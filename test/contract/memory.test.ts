/** Goal: a test of an application says when time passes, and sees what is stored. Method: the store as it is used. */
import { afterEach, expect, test, vi } from 'vitest'
import { createIdempotency } from '../../src/index.ts'
import { memoryStore } from '../../src/memory/index.ts'

const request = { operation: 'book', scope: 's', key: 'k', input: { seat: 4 } }

afterEach(() => {
  vi.unstubAllEnvs()
})

test('it refuses to start in production, and says what to use', () => {
  vi.stubEnv('NODE_ENV', 'production')
  expect(() => memoryStore()).toThrow(/PAWL config_invalid: memoryStore: .*pgStore\(pool\)/)
})

test('an outcome expires when the test says so, not before', async () => {
  const store = memoryStore()
  const idempotency = createIdempotency({ store })
  let runs = 0
  const book = () => idempotency.run(request, () => ({ body: String(++runs) }))
  await book()
  store.advance('23h')
  expect(await book()).toMatchObject({ replayed: true })
  store.advance('61m')
  expect(await book()).toMatchObject({ replayed: false })
  expect(runs).toBe(2)
})

test('a lease lapses when the test says so: the next attempt resumes, and the first is fenced off', async () => {
  const store = memoryStore()
  const idempotency = createIdempotency({ store })
  let charges = 0
  const first = idempotency.run(request, async (_, run) => {
    await run.call('charged', () => ++charges)
    store.advance('11s')
    const second = await idempotency.run(request, async (__, again) => ({
      body: await again.call('charged', () => ++charges),
    }))
    expect(second).toMatchObject({ kind: 'finished', replayed: false })
    return { body: 'late' }
  })
  await expect(first).rejects.toMatchObject({ code: 'lease_lost' })
  expect(charges).toBe(1)
})

test('a stage runs in the transaction that the test hands in, and is recorded only if that commits', async () => {
  const rows: string[] = []
  const store = memoryStore<{ insert: (row: string) => void }>({
    transaction: async (work) => {
      const added: string[] = []
      const result = await work({ insert: (row) => added.push(row) })
      if (added.includes('refused at COMMIT')) throw new Error('refused')
      rows.push(...added)
      return result
    },
  })
  const idempotency = createIdempotency({ store })
  const go = (row: string) =>
    idempotency.run(request, async (_, run) => {
      await run.stage('booked', (tx) => tx.insert(row))
    })
  await expect(go('refused at COMMIT')).rejects.toThrow('refused')
  expect(store.records()).toMatchObject([{ recoveryPoint: 'started', owner: undefined }])
  await go('seat 4')
  expect(rows).toEqual(['seat 4'])
})

test('what is stored can be looked at and forgotten; changing what was given out changes nothing', async () => {
  const store = memoryStore()
  const idempotency = createIdempotency({ store })
  await idempotency.run(request, () => ({ status: 201, body: 'seat 4' }))
  const [record] = store.records()
  expect(record).toMatchObject({ state: 'finished', attempt: 1, outcome: { status: 201 } })
  record?.outcome?.body?.fill(0)
  expect(Buffer.from(store.records()[0]?.outcome?.body ?? []).toString()).toBe('seat 4')
  store.clear()
  expect(store.records()).toEqual([])
})

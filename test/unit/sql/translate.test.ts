/** Goal: the fence's own error is a lost lease, and nothing else is, however much it looks like it. */
import { expect, test } from 'vitest'
import { ConnectError, ConnectionLostError } from '../../../src/sql/database.ts'
import { postgres } from '../../../src/sql/postgres.ts'
import { fromWork, Translation } from '../../../src/sql/translate.ts'

const errors = new Translation(postgres, '"idempotency_key"')
const LIMITS = { of: ['idle'], each: [], together: { text: '', values: [] } } as const
const at = { id: 'ikey_1', owner: 'me', attempt: 1, step: 'charged' }
const sql = (code: string) => Object.assign(new Error(code), { code })

test('division by zero of the fence is a lost lease', () => {
  expect(errors.ofCommit(sql('22012'), at)).toMatchObject({ code: 'lease_lost' })
})

test('division by zero of the application is its own error, as the same object', async () => {
  const own = sql('22012')
  const thrown: unknown = await fromWork(Promise.reject(own)).catch((error: unknown) => error)
  expect(errors.ofCommit(thrown, at)).toBe(own)
})

test.each([undefined, null, 'no seat', { cause: 'full' }])(
  'whatever the application throws is its own, also under limits: %j',
  async (own) => {
    const thrown: unknown = await fromWork(Promise.reject(own as Error)).catch(
      (error: unknown) => error,
    )
    expect(errors.ofCommit(thrown, at, LIMITS)).toBe(own)
  },
)

test.each([
  ['57014', ['statement'], /stageTimeouts\.statement/],
  ['57014', ['idle'], /statement_timeout of the role/],
  ['55P03', ['lock'], /stageTimeouts\.lock/],
  ['55P03', ['idle'], /lock_timeout of the role/],
] as const)(
  'after %s under limits of %j the remedy is about the one that was over',
  (code, of, told) => {
    const error = errors.ofCommit(sql(code), at, { ...LIMITS, of })
    expect(error).toMatchObject({
      name: 'AbortedError',
      remedy: expect.stringMatching(told) as string,
    })
  },
)

test('a connection that was lost without a limit of silence is not told to be one', () => {
  const lost = new ConnectionLostError(Object.assign(new Error('reset'), { code: 'ECONNRESET' }))
  const { remedy } = errors.ofCommit(lost, at, { ...LIMITS, of: ['lock'] }) as { remedy?: string }
  expect(remedy).toBeUndefined()
})

test('and with the connection lost behind it, an abort', async () => {
  const thrown: unknown = await fromWork(Promise.reject(sql('22012'))).catch(
    (error: unknown) => error,
  )
  expect(errors.ofCommit(new ConnectionLostError(thrown), at)).toMatchObject({
    name: 'AbortedError',
  })
})

test('a connection that was handed over in a failed transaction is no connection', () => {
  expect(errors.ofCommit(new ConnectError(sql('25P02')), at)).toMatchObject({
    code: 'store_unavailable',
  })
})

/**
 * Goal: after a transaction broke, what is reported is what is known: nothing committed, fenced, or nobody knows.
 * Method: a connection that answers from a script, since a cancel that hits BEGIN alone cannot be had from a server.
 */
import { describe, expect, test } from 'vitest'
import { wireTransaction } from '../../../src/sql/wire-transaction.ts'

const verdict = (code: string) => Object.assign(new Error(code), { severity: 'ERROR', code })
const fatal = Object.assign(new Error('shutting down'), { severity: 'FATAL', code: '57P01' })
const broken = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })

type Script = Readonly<Record<string, Error | string>>

async function run(
  script: Script,
  pipelined: boolean,
  work: () => Promise<unknown> = () => Promise.resolve(),
) {
  const sent: string[] = []
  const done: boolean[] = []
  const send = async ({ text }: { text: string }): Promise<{ command: string }> => {
    const [name = ''] = text.split(' ')
    sent.push(name)
    const answer = script[name] ?? name.toUpperCase()
    await Promise.resolve()
    if (answer instanceof Error) throw answer
    return { command: answer }
  }
  const connection = { send, done: (isBroken: boolean) => void done.push(isBroken) }
  const last = { text: 'fence', values: [] }
  const outcome: unknown = await wireTransaction(
    connection,
    { isolation: undefined, pipelined },
    async () => {
      await work()
      return { value: 'value', last }
    },
  ).catch((error: unknown) => error)
  return { outcome, sent, reused: done.length === 1 && done[0] === false }
}

describe.each([
  ['pipelined', true],
  ['one after another', false],
])('%s', (_, pipelined) => {
  test('commits behind the fence, and gives the connection back', async () => {
    const { outcome, sent, reused } = await run({}, pipelined)
    expect([outcome, sent, reused]).toEqual(['value', ['begin', 'fence', 'commit'], true])
  })

  test('a fence that raised is the verdict, whatever became of COMMIT', async () => {
    const raised = verdict('22012')
    expect((await run({ fence: raised, commit: 'ROLLBACK' }, pipelined)).outcome).toBe(raised)
    expect((await run({ fence: raised, commit: broken }, pipelined)).outcome).toBe(raised)
  })

  test.each([
    ['the connection broke', broken],
    ['the server is being shut down', fatal],
    ['the result is ambiguous', verdict('40003')],
  ])('COMMIT: %s → nobody knows, and the connection is not used again', async (__, error) => {
    const { outcome, reused } = await run({ commit: error }, pipelined)
    expect(outcome).toMatchObject({ name: 'CommitLostError', cause: error })
    expect(reused).toBe(false)
  })

  test('COMMIT refused by the server → its own error: nothing was committed', async () => {
    const error = verdict('40001')
    expect(await run({ commit: error }, pipelined)).toMatchObject({ outcome: error, reused: true })
  })

  test('COMMIT answered with ROLLBACK is no commit', async () => {
    expect((await run({ commit: 'ROLLBACK' }, pipelined)).outcome).toMatchObject({
      name: 'RolledBackError',
    })
  })

  test('an error of the work passes as the same object, after ROLLBACK', async () => {
    const own = new Error('sold out')
    const { outcome, sent, reused } = await run({}, pipelined, () => Promise.reject(own))
    expect([outcome, sent, reused]).toEqual([own, ['begin', 'rollback'], true])
  })

  test('a connection that breaks in the work: nothing was committed, and it is not used again', async () => {
    const { outcome, reused } = await run({ rollback: broken }, pipelined, () =>
      Promise.reject(broken),
    )
    expect(outcome).toMatchObject({ name: 'ConnectionLostError', cause: broken })
    expect(reused).toBe(false)
  })
})

describe('a BEGIN that is refused', () => {
  const cancelled = verdict('57014')

  test('one after another: the work does not run', async () => {
    let ran = false
    const work = () => {
      ran = true
      return Promise.resolve()
    }
    const { outcome } = await run({ begin: cancelled }, false, work)
    expect([outcome, ran]).toMatchObject([{ name: 'ConnectError' }, false])
  })

  test.each([
    ['the work is done', () => Promise.resolve()],
    ['the work failed', () => Promise.reject(new Error('its own'))],
  ])(
    'pipelined, %s: it is not committed, not tried again, and says that rows may be kept',
    async (_, work) => {
      const { outcome, sent } = await run({ begin: cancelled }, true, work)
      expect(outcome).toMatchObject({
        code: 'store_failed',
        message: expect.stringContaining('may have been kept') as string,
      })
      expect(sent).not.toContain('commit')
    },
  )
})

/**
 * Goal: after a transaction broke, what is reported is what is known: nothing committed, fenced, or nobody knows.
 * Method: a connection that answers from a script, since a cancel that hits BEGIN alone cannot be had from a server.
 */
import { describe, expect, test } from 'vitest'
import { transactionOver, wireTransaction } from '../../../src/sql/wire-transaction.ts'

const verdict = (code: string) => Object.assign(new Error(code), { severity: 'ERROR', code })
const fatal = Object.assign(new Error('shutting down'), { severity: 'FATAL', code: '57P01' })
const broken = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })

type Script = Readonly<Record<string, Error | string>>

/** How fence and COMMIT travel. */
type Way = 'pipelined' | 'in one message' | 'one after another'

async function run(
  script: Script,
  way: Way,
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
  // As a server does: what stands behind a statement that raised is skipped.
  const sendClosing = async (statement: { text: string }) => {
    await send(statement)
    return await send({ text: 'commit' })
  }
  const connection = {
    ...transactionOver(send),
    sendClosing: way === 'in one message' ? sendClosing : undefined,
    done: (isBroken: boolean) => void done.push(isBroken),
  }
  const last = { text: 'fence', values: [] }
  const outcome: unknown = await wireTransaction(
    connection,
    { isolation: undefined, pipelined: way === 'pipelined' },
    async () => {
      await work()
      return { value: 'value', last }
    },
  ).catch((error: unknown) => error)
  return { outcome, sent, reused: done.length === 1 && done[0] === false }
}

describe.each<Way>(['pipelined', 'in one message', 'one after another'])('%s', (way) => {
  test('commits behind the fence, and gives the connection back', async () => {
    const { outcome, sent, reused } = await run({}, way)
    expect([outcome, sent, reused]).toEqual(['value', ['begin', 'fence', 'commit'], true])
  })

  test('a fence that raised is the verdict, whatever became of COMMIT', async () => {
    const raised = verdict('22012')
    expect((await run({ fence: raised, commit: 'ROLLBACK' }, way)).outcome).toBe(raised)
    expect((await run({ fence: raised, commit: broken }, way)).outcome).toBe(raised)
  })

  test.each([
    ['the connection broke', broken],
    ['the server is being shut down', fatal],
    ['the result is ambiguous', verdict('40003')],
  ])('COMMIT: %s → nobody knows, and the connection is not used again', async (_, error) => {
    const { outcome, reused } = await run({ commit: error }, way)
    expect(outcome).toMatchObject({ name: 'CommitLostError', cause: error })
    expect(reused).toBe(false)
  })

  test('a fence that raised leaves no transaction open', async () => {
    const { sent, reused } = await run({ fence: verdict('22012'), commit: 'ROLLBACK' }, way)
    expect(sent.at(-1)).toBe(way === 'pipelined' ? 'commit' : 'rollback')
    expect(reused).toBe(true)
  })

  test.each([
    ['refused', '23503', { name: 'Error', code: '23503' }],
    ['session ended', '57P01', { name: 'CommitLostError' }],
    ['idle too long', '25P03', { name: 'CommitLostError' }],
  ])('a server that speaks another language, %s: the code decides', async (_, code, outcome) => {
    const error = Object.assign(new Error(code), { severity: 'FEHLER', code })
    expect((await run({ commit: error }, way)).outcome).toMatchObject(outcome)
  })

  test('COMMIT refused by the server → its own error: nothing was committed', async () => {
    const error = verdict('40001')
    expect(await run({ commit: error }, way)).toMatchObject({ outcome: error, reused: true })
  })

  test('COMMIT answered with ROLLBACK is no commit', async () => {
    expect((await run({ commit: 'ROLLBACK' }, way)).outcome).toMatchObject({
      name: 'RolledBackError',
    })
  })

  test('an error of the work passes as the same object, after ROLLBACK', async () => {
    const own = new Error('sold out')
    const { outcome, sent, reused } = await run({}, way, () => Promise.reject(own))
    expect([outcome, sent, reused]).toEqual([own, ['begin', 'rollback'], true])
  })

  test('a connection that breaks in the work: nothing was committed, and it is not used again', async () => {
    const { outcome, reused } = await run({ rollback: broken }, way, () => Promise.reject(broken))
    expect(outcome).toMatchObject({ name: 'ConnectionLostError', cause: broken })
    expect(reused).toBe(false)
  })
})

describe('a BEGIN that is refused', () => {
  const cancelled = verdict('57014')

  test('one after another: the work does not run, and what was begun before a limit was refused ends', async () => {
    let ran = false
    const work = () => {
      ran = true
      return Promise.resolve()
    }
    const { outcome, sent } = await run({ begin: cancelled }, 'one after another', work)
    expect([outcome, ran]).toMatchObject([{ name: 'ConnectError' }, false])
    expect(sent).toEqual(['begin', 'rollback'])
  })

  test.each([
    ['the work is done', () => Promise.resolve()],
    ['the work failed', () => Promise.reject(new Error('its own'))],
  ])(
    'pipelined, %s: it is not committed, not tried again, and says that rows may be kept',
    async (_, work) => {
      const { outcome, sent } = await run({ begin: cancelled }, 'pipelined', work)
      expect(outcome).toMatchObject({
        code: 'store_failed',
        message: expect.stringContaining('may have been kept') as string,
      })
      expect(sent).not.toContain('commit')
      expect(sent.at(-1)).toBe('rollback')
    },
  )
})

test('BEGIN was refused, which came with the answer of ROLLBACK → that is told, not what the work threw', async () => {
  const refused = new Error('rows may have been kept')
  let isOver = false
  let isBroken: boolean | undefined
  const connection = {
    ...transactionOver(async ({ text }) => {
      await Promise.resolve()
      isOver ||= text === 'rollback'
      return { command: text.toUpperCase() }
    }),
    refusal: () => (isOver ? refused : undefined),
    done: (broken: boolean) => void (isBroken = broken),
  }
  const thrown = wireTransaction(connection, { isolation: undefined, pipelined: false }, () =>
    Promise.reject(new Error('sold out')),
  )
  await expect(thrown).rejects.toBe(refused)
  expect(isBroken).toBe(true)
})

/** Goal: a lent client is the client in everything, until the work has settled. */
import { describe, expect, test } from 'vitest'
import { TransactionEndedError } from '../../../src/core/errors.ts'
import { type Entrances, lend, refuse } from '../../../src/sql/lent-client.ts'
import { SessionEnd } from '../../../src/sql/session-end.ts'

class Client {
  readonly #secret = 'own'
  asked = 0

  query(text: string): Promise<string> {
    this.asked++
    return Promise.resolve(`${this.#secret} ${text}`)
  }
}

test('it keeps its class, its private state and what is set on it', async () => {
  const client = new Client()
  const answer = await lend(client, async (lent) => {
    expect(lent).toBeInstanceOf(Client)
    expect(lent.query).toBe(lent.query)
    Object.assign(lent, { tag: 'mine' })
    return await lent.query('select 1')
  })
  expect([answer, client.asked, (client as { tag?: string }).tag]).toEqual([
    'own select 1',
    1,
    'mine',
  ])
})

test.each([
  ['has returned', () => Promise.resolve()],
  ['has thrown', () => Promise.reject(new Error('sold out'))],
])('when the work %s, it refuses to send', async (_, settle) => {
  const client = new Client()
  let kept: Client | undefined
  await lend(client, async (lent) => {
    kept = lent
    await settle()
  }).catch(() => undefined)
  await expect(kept?.query('select 1')).rejects.toMatchObject({ code: 'transaction_ended' })
  expect(client.asked).toBe(0)
  expect(await client.query('select 1')).toBe('own select 1')
})

describe('what would give it away', () => {
  class Pooled extends Client {
    released = 0

    release(): void {
      this.released++
    }
  }
  const entrances: Entrances = { methods: ['query'], givingAway: ['release', 'end'], refuse }

  test('is refused, as misuse in the work, and as ended behind it', async () => {
    const client = new Pooled()
    let kept: Pooled | undefined
    const given = lend(
      client,
      async (lent) => {
        kept = lent
        lent.release()
      },
      entrances,
    )
    await expect(given).rejects.toMatchObject({ code: 'step_misused' })
    expect(() => kept?.release()).toThrow(TransactionEndedError)
    expect(client.released).toBe(0)
  })

  test('may be written over for whoever it is lent to next; the client keeps its own', async () => {
    const client = new Pooled()
    await lend(
      client,
      async (lent) => {
        lent.release = () => undefined
        lent.release()
        const derived = Object.assign(Object.create(lent) as Pooled, { release: () => undefined })
        derived.release()
      },
      entrances,
    )
    client.release()
    expect(client.released).toBe(1)
  })

  test('is nothing where the client has no such method', async () => {
    await lend(
      new Pooled(),
      async (lent) => {
        expect((lent as { end?: unknown }).end).toBeUndefined()
      },
      entrances,
    )
  })
})

const SAVING: Entrances = {
  ...{ methods: ['query', 'savepoint'], members: ['tables'], nesting: ['savepoint'], refuse },
}

/** As postgres.js has it: told that the function has settled, it sends that to whoever has the connection now. */
class Saving extends Client {
  readonly tables = { rides: 'all of them' }
  readonly told: string[] = []

  async savepoint<R>(work: (inner: Client) => Promise<R>): Promise<R> {
    try {
      const value = await work(new Client())
      this.told.push('release')
      return value
    } catch (error) {
      this.told.push('rollback to')
      throw error
    }
  }
}

test('a savepoint lends its own client, and is told what came of the work', async () => {
  const client = new Saving()
  const answer = await lend(
    client,
    async (lent) => {
      const failed = lent.savepoint(() => Promise.reject(new Error('sold out')))
      await expect(failed).rejects.toThrow('sold out')
      return await lent.savepoint((inner) => inner.query('select 1'))
    },
    SAVING,
    new SessionEnd(),
  )
  expect([answer, client.told]).toEqual(['own select 1', ['rollback to', 'release']])
})

test('when the session ends inside of one, whoever waits is told, nothing is sent, and the library is told nothing', async () => {
  const client = new Saving()
  const end = new SessionEnd()
  const late: unknown[] = []
  const ended = { code: 'transaction_ended' }
  await lend(
    client,
    async (lent) => {
      const inside = lent.savepoint(async (inner) => {
        await new Promise((resolve) => setTimeout(resolve, 20))
        late.push(await inner.query('insert').catch((error: unknown) => error))
        throw new Error('given up')
      })
      setTimeout(() => end.come(), 5)
      await expect(inside).rejects.toMatchObject(ended)
      await expect(lent.query('select 1')).rejects.toMatchObject(ended)
      expect(() => lent.tables).toThrow(expect.objectContaining(ended) as Error)
      await new Promise((resolve) => setTimeout(resolve, 40))
    },
    SAVING,
    end,
  )
  expect(late).toEqual([expect.objectContaining(ended)])
  expect(client.told).toEqual([])
})

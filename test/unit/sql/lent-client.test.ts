/** Goal: a lent client is the client in everything, until the work has settled. */
import { expect, test } from 'vitest'
import { lend } from '../../../src/sql/lent-client.ts'

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

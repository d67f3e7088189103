/** Conformance 40: clients that leave before they have their answer. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { effect, FRAMEWORKS, gate, rideHandler, setup } from '../support/app.ts'

const body = { to: 'Oslo' }

describe.each(FRAMEWORKS)('%s', (framework) => {
  test('40 · the client aborts at 50 ms of a 300 ms handler → work and outcome recorded; the retry replays', async () => {
    const app = await setup({
      framework,
      handler: async (request, run) => {
        await run.stage('one', async (tx) => effect(tx, run, 'one'))
        await sleep(300)
        expect(run.signal.aborted).toBe(false)
        return await rideHandler(request, run)
      },
    })
    await expect(app.send({ key: 'k', body, abortAfterMs: 50 })).rejects.toThrow()
    expect((await app.seen('finished')).status).toBe(201)
    const again = await app.send({ key: 'k', body })
    expect(again.status).toBe(201)
    expect(again.headers['idempotent-replayed']).toBe('true')
    expect((await app.effects('k')).map(({ stage }) => stage)).toEqual([
      'one',
      'ride_created',
      'receipt',
    ])
    expect(app.count()).toBe(1)
  })

  test('40 · the same where the handler writes its response itself', async () => {
    const app = await setup({
      framework,
      plain: {
        express: async (_, res) => {
          await sleep(300)
          res.status(201).json({ done: true })
        },
        fetch: async () => {
          await sleep(300)
          return Response.json({ done: true }, { status: 201 })
        },
      },
    })
    await expect(app.send({ key: 'k', body, abortAfterMs: 50 })).rejects.toThrow()
    await app.seen('finished')
    const again = await app.send({ key: 'k', body })
    expect([again.status, again.json()]).toEqual([201, { done: true }])
    expect(again.headers['idempotent-replayed']).toBe('true')
    expect(app.count()).toBe(1)
  })

  test('40 · the client leaves between two pieces of a response → all of it is recorded', async () => {
    const begun = gate()
    const app = await setup({
      framework,
      plain: {
        // A pipeline stops at the response's 'close', which must not come before the end.
        express: async (_, res) => {
          const gone = once(res.socket as Socket, 'close')
          async function* pieces() {
            yield 'one '
            await begun.pass()
            await gone
            yield 'two '
            await sleep(10)
            yield 'three'
          }
          await pipeline(Readable.from(pieces()), res)
        },
        fetch: () =>
          new Response(
            new ReadableStream({
              start: async (controller) => {
                controller.enqueue(Buffer.from('one '))
                await begun.pass()
                controller.enqueue(Buffer.from('two '))
                await sleep(10)
                controller.enqueue(Buffer.from('three'))
                controller.close()
              },
            }),
          ),
      },
    })
    const left = app.send({ key: 'k', body, abortWhen: begun.reached })
    await begun.reached
    await expect(left).rejects.toThrow()
    begun.open()
    await app.seen('finished')
    const again = await app.send({ key: 'k', body })
    expect([again.status, again.text()]).toEqual([200, 'one two three'])
    expect(app.count()).toBe(1)
  })
})

/** Conformance 26–30: duplicates that come while the first one runs. */
import { describe, expect, test } from 'vitest'
import { type App, effect, FRAMEWORKS, gate, rideHandler, setup } from '../support/app.ts'
import { eventually } from '../support/api-process.ts'
import type { Reply } from '../support/http-client.ts'

const body = { to: 'Oslo' }

function codesOf(replies: readonly Reply[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { status, headers } of replies) {
    const what = `${status}${headers['idempotent-replayed'] === 'true' ? ' replayed' : ''}`
    counts[what] = (counts[what] ?? 0) + 1
  }
  return counts
}

describe.each(FRAMEWORKS)('%s', (framework) => {
  /** The first request stands at the gate; whoever comes meanwhile is a duplicate. */
  async function inFlight(
    options: Parameters<typeof setup>[0]['options'] = {},
    more: Partial<Parameters<typeof setup>[0]> = {},
  ) {
    const running = gate()
    const app = await setup({
      framework,
      options,
      handler: async (request, run) => {
        if (run.key === 'k') await running.pass()
        return await rideHandler(request, run)
      },
      ...more,
    })
    const first = app.send({ key: 'k', body })
    first.catch(() => undefined)
    await running.reached
    return { app, running, first }
  }

  test('26 · a duplicate while the first runs → 409 problem + Retry-After', async () => {
    const { app, running, first } = await inFlight()
    for (let times = 0; times < 3; times++) {
      const refused = await app.send({ key: 'k', body })
      expect(refused).toMatchProblem({ status: 409, code: 'in_progress' })
      expect(refused.headers['retry-after']).toMatch(/^[1-9]\d*$/)
      expect(refused.json()).toMatchObject({ operation_ref: (await app.record('k'))?.['id'] })
    }
    running.open()
    expect((await first).status).toBe(201)
    expect(app.count()).toBe(1)
  })

  /** Goal: waiting costs no connection. Method: more waiters than connections, and others who need one meanwhile. */
  test('27 · inProgress.wait → waits, then replays; no connection is held meanwhile', async () => {
    let looks = 0
    const { app, running, first } = await inFlight(
      { inProgress: { wait: '20s' } },
      {
        max: 2,
        beforeLook: () => {
          looks++
        },
      },
    )
    let answered = 0
    const waiters = Array.from({ length: 20 }, () =>
      app.send({ key: 'k', body }).finally(() => answered++),
    )
    await eventually('the waiters to look, and to look again', () => looks >= 60)
    expect(await app.send({ key: 'other', body })).toMatchObject({ status: 201 })
    await eventually('no transaction to be open', async () => (await app.database.open()) === 0)
    expect(answered).toBe(0)
    running.open()
    const done = await first
    for (const reply of await Promise.all(waiters)) expect(reply).toReplay(done)
    expect(await app.effects('k')).toHaveLength(2)
  })

  test('27 · on timeout 409', async () => {
    const { app, running, first } = await inFlight({ inProgress: { wait: '150ms' } })
    const since = performance.now()
    expect(await app.send({ key: 'k', body })).toMatchProblem({ status: 409, code: 'in_progress' })
    expect(performance.now() - since).toBeGreaterThanOrEqual(149)
    running.open()
    expect((await first).status).toBe(201)
  })

  /** Goal: a waiter gets on when the first one fails. Method: the first throws while the second waits. */
  test('27 · the first fails while another waits → the other executes', async () => {
    const running = gate()
    const app = await setup({
      framework,
      options: { inProgress: { wait: '20s' } },
      handler: async (request, run) => {
        if (request.count > 1) return await rideHandler(request, run)
        await running.pass()
        throw new Error('boom')
      },
    })
    const first = app.send({ key: 'k', body })
    await running.reached
    const second = app.send({ key: 'k', body })
    running.open()
    expect((await first).status).toBe(500)
    const done = await second
    expect(done.status).toBe(201)
    expect(done.headers['idempotent-replayed']).toBeUndefined()
    expect(await app.effects('k')).toHaveLength(2)
  })

  test('28 · 100 simultaneous duplicates → one effect; every other answer is a 409 or a replay; no 5xx', async () => {
    const app = await setup({ framework, handler: rideHandler })
    const replies = await Promise.all(
      Array.from({ length: 100 }, () => app.send({ key: 'k', body })),
    )
    const executed = replies.filter(
      (reply) => reply.status === 201 && reply.headers['idempotent-replayed'] === undefined,
    )
    expect(executed).toHaveLength(1)
    for (const reply of replies.filter((one) => one !== executed[0])) {
      if (reply.status === 201) expect(reply).toReplay(executed[0] as Reply)
      else expect(reply).toMatchProblem({ status: 409, code: 'in_progress' })
    }
    expect(app.count()).toBe(1)
    expect((await app.effects('k')).map(({ stage }) => stage)).toEqual(['ride_created', 'receipt'])
  })

  test('28 · the same with waiting → one effect, 99 replays', async () => {
    const app = await setup({
      framework,
      handler: rideHandler,
      options: { inProgress: { wait: '20s' } },
    })
    const replies = await Promise.all(
      Array.from({ length: 100 }, () => app.send({ key: 'k', body })),
    )
    expect(codesOf(replies)).toEqual({ '201': 1, '201 replayed': 99 })
    expect(new Set(replies.map((reply) => reply.text())).size).toBe(1)
    expect(app.count()).toBe(1)
  })

  test('28 · 100 duplicates of a request whose first attempt fails → each stage commits at most once', async () => {
    const app = await setup({
      framework,
      options: { inProgress: { wait: '20s' } },
      handler: async (request, run) => {
        await run.stage('one', async (tx) => effect(tx, run, 'one'))
        if (request.count <= 3) throw new Error('boom')
        return await run.finish(async (tx) => {
          await effect(tx, run, 'two')
          return { status: 201, body: 'done' }
        })
      },
    })
    const replies = await Promise.all(
      Array.from({ length: 100 }, () => app.send({ key: 'k', body })),
    )
    expect(codesOf(replies)).toEqual({ '500': 3, '201': 1, '201 replayed': 96 })
    expect((await app.effects('k')).map(({ stage }) => stage)).toEqual(['one', 'two'])
  })

  /** Holds the second request in front of its claim, and does something meanwhile: test/contract/lost-claim.test.ts is nearer. */
  async function beforeClaim(
    meanwhile: (at: { app: App; finishFirst: () => Promise<Reply> }) => Promise<void>,
  ): Promise<{ app: App; first: Reply; second: Reply }> {
    const look = gate()
    let holding = false
    const { app, running, first } = await inFlight(
      {},
      {
        beforeLook: async () => {
          if (holding) await look.pass()
        },
      },
    )
    holding = true
    const second = app.send({ key: 'k', body })
    await look.reached
    holding = false
    const finishFirst = async (): Promise<Reply> => {
      running.open()
      return await first
    }
    await meanwhile({ app, finishFirst })
    look.open()
    return { app, first: await finishFirst(), second: await second }
  }

  test('29 · lost the claim to a winner that has already finished → replay, not 409', async () => {
    const { app, first, second } = await beforeClaim(async ({ finishFirst }) => {
      await finishFirst()
    })
    expect(second).toReplay(first)
    expect(app.count()).toBe(1)
  })

  test('29 · the record vanished in between → claimed again, executed', async () => {
    const { app, first, second } = await beforeClaim(async ({ app, finishFirst }) => {
      await finishFirst()
      await app.database.query('delete from idempotency_key where scope = $1', [`${app.scope}/u1`])
    })
    expect(second.status).toBe(201)
    expect(second.headers['idempotent-replayed']).toBeUndefined()
    expect(second.text()).not.toBe(first.text())
    expect(app.count()).toBe(2)
  })

  test('30 · after a 409, the same bytes later → replay', async () => {
    const { app, running, first } = await inFlight()
    expect(await app.send({ key: 'k', body })).toMatchProblem({ status: 409, code: 'in_progress' })
    running.open()
    const done = await first
    expect(await app.send({ key: 'k', body })).toReplay(done)
    expect(app.count()).toBe(1)
  })
})

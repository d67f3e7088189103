/**
 * Conformance 47: what a client began and did not ask for again is finished by a completer, wherever its process was
 * killed; whoever asks late gets that outcome, and whoever asks meanwhile does not double it.
 */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { idOf } from '../../src/core/identity.ts'
import { type Answer, ApiProcess, eventually, sendRide } from '../support/api-process.ts'
import { type AppDatabase, appDatabase, prepare } from '../support/app-database.ts'
import { engineName, engineUrl } from '../support/engine.ts'
import { type Provider, startProvider } from '../support/provider.ts'

/** A grace and a lease are a second and a half; the machine may be busy. */
const FINISHED_MAX_MS = 25_000
const BODY = JSON.stringify({ to: 'Oslo' })

let database: AppDatabase
let provider: Provider
/** Takes the request, and dies of it. */
let api: ApiProcess
/** Was never asked. */
let completer: ApiProcess

interface Ride {
  readonly key: string
  readonly scope: string
  readonly id: string
}

function newRide(): Ride {
  const scope = `completion-${randomUUID()}`
  const key = randomUUID()
  return { scope, key, id: idOf({ scope, operation: 'book-ride', key }) }
}

interface Asking {
  readonly failpoints?: string
  readonly repeatable?: boolean
}

function send(
  to: ApiProcess,
  { key, scope }: Ride,
  { failpoints = '', repeatable = true }: Asking = {},
): Promise<Answer> {
  const headers = {
    'idempotency-key': key,
    'x-scope': scope,
    'x-repeatable': String(repeatable),
    'x-failpoints': failpoints,
  }
  return sendRide(to.port, headers, BODY, false, '/bookings')
}

/** A client that sees its API die, and never comes back. */
async function abandon(ride: Ride, asking: Asking): Promise<void> {
  const answer = await send(api, ride, asking).catch((error: unknown) => String(error))
  expect(answer).toMatch(/ECONNRESET|socket hang up/)
  await api.exited()
}

async function stateOf({ id }: Ride): Promise<unknown> {
  const [row] = await database.query('select state from idempotency_key where id = $1', [id])
  return row?.['state']
}

async function finished(ride: Ride): Promise<void> {
  await vi.waitFor(async () => expect(await stateOf(ride)).toBe('finished'), {
    timeout: FINISHED_MAX_MS,
    interval: 20,
  })
}

async function expectOneOfEach(ride: Ride): Promise<void> {
  const effects = await database.query(
    'select stage from effects where scope = $1 and idempotency_key = $2 order by at',
    [ride.scope, ride.key],
  )
  expect(effects.map((row) => row['stage'])).toEqual(['ride_created', 'receipt'])
  expect(provider.charges(ride.key).size).toBe(1)
}

describe('a request is abandoned by SIGKILL, and a completer finishes it', () => {
  // Here, and not for the whole file: the engines' files import it beside others, and it looks for work all the time.
  beforeAll(async () => {
    database = appDatabase('completion', {})
    await prepare(database)
    provider = await startProvider()
    const options = {
      framework: 'express',
      leaseMs: 500,
      engine: engineName(),
      database: engineUrl(),
      provider: provider.url,
    } as const
    ;[api, completer] = await Promise.all([
      ApiProcess.start(options),
      ApiProcess.start({ ...options, completer: true }),
    ])
  })
  afterAll(async () => {
    await Promise.all([api.kill(), completer.kill()])
    await provider.close()
    await database.end()
  })
  beforeEach(async () => {
    await Promise.all([api.respawn(), completer.respawn()])
  })

  test.each([
    'claim.after||1',
    'stage.work.after|ride_created|1',
    'stage.fence.after|ride_created|1',
    'stage.commit.after|ride_created|1',
    'call.work.after|charged|1',
    'call.record.after|charged|1',
    'finish.work.after||1',
    'finish.fence.after||1',
  ])('47 · killed at %s → one of each; the late retry gets that outcome', async (point) => {
    const ride = newRide()
    await abandon(ride, { failpoints: `${point}=SIGKILL` })
    await finished(ride)
    await expectOneOfEach(ride)

    const late = await send(completer, ride)
    expect(late.status).toBe(201)
    expect(late.headers['idempotent-replayed']).toBe('true')
    expect((await send(completer, ride)).body).toEqual(late.body)
    await expectOneOfEach(ride)
  })

  test('47 · its client comes back at the same time → one of each, one response', async () => {
    const ride = newRide()
    await abandon(ride, { failpoints: 'call.work.after|charged|1=SIGKILL' })
    await api.respawn()
    const answers: Answer[] = []
    await eventually('the client to be answered', async () => {
      const answer = await send(api, ride)
      if (answer.status === 201) answers.push(answer)
      return answers.length > 1
    })
    await finished(ride)
    await expectOneOfEach(ride)
    expect(answers[0]?.body).toEqual(answers[1]?.body)
  })

  test.each([
    ['call.work.after|charged|1', 'sent, its answer not learned', 1],
    ['call.intent.after|charged|1', 'not sent', 1],
  ])(
    '38, 47 · killed in a call that is not repeatable (%s: %s) → its resolver asks, and the rest is done',
    async (point, _what, requests) => {
      const ride = newRide()
      await abandon(ride, { failpoints: `${point}=SIGKILL`, repeatable: false })
      await finished(ride)
      await expectOneOfEach(ride)
      expect(provider.requests(ride.key)).toHaveLength(requests)
      expect((await send(completer, ride, { repeatable: false })).status).toBe(201)
    },
  )

  test('47 · a completer that was killed while it finished them finishes the rest when it is back', async () => {
    const rides = Array.from({ length: 10 }, newRide)
    for (const ride of rides)
      void send(api, ride, { failpoints: 'claim.after||1=pause:60000' }).catch(() => undefined)
    await eventually('all to be claimed', async () => {
      const states = await Promise.all(rides.map(stateOf))
      return states.every((state) => state === 'running')
    })
    await api.kill()
    await eventually('one to be finished', async () => {
      const states = await Promise.all(rides.map(stateOf))
      return states.includes('finished')
    })
    await completer.kill()
    await completer.respawn()
    for (const ride of rides) {
      await finished(ride)
      await expectOneOfEach(ride)
    }
  })
})

/**
 * Conformance 35–39 and 41: real API processes on a real database, killed (SIGKILL) and stopped (SIGSTOP) at named
 * failpoints, behind Express and behind fetch. At the end every failpoint there is has killed a process.
 */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { idOf } from '../../src/core/identity.ts'
import { FAILPOINTS, type Failpoint } from '../../src/core/runtime.ts'
import {
  type Answer,
  ApiProcess,
  eventually,
  type Framework,
  pause,
  sendRide,
} from '../support/api-process.ts'
import { type AppDatabase, appDatabase, prepare } from '../support/app-database.ts'
import { engineName, engineUrl } from '../support/engine.ts'
import { type Provider, startProvider } from '../support/provider.ts'
import type { RidesLine } from '../support/rides-api.ts'

const SETTLE_MAX_MS = 20_000
const RETRY_MS = 40
const EVENTS_MAX_MS = 5_000
const BODY = JSON.stringify({ to: 'Oslo' })
/** The matrix: pairs of processes that work side by side. */
const PAIRS = 4

/** The protocol is the same behind both: on the engine that most use, both are tried. */
const FRAMEWORKS =
  engineName() === 'postgres' ? (['express', 'fetch'] as const) : (['express'] as const)
/** A process that stands still inside a transaction keeps everybody from the file: nobody can take over. */
const HOLDS_FILE = engineName() === 'sqlite'

let database: AppDatabase
let provider: Provider

beforeAll(async () => {
  database = appDatabase('crash', {})
  await prepare(database)
  provider = await startProvider()
})
afterAll(async () => {
  await provider.close()
  await database.end()
})

/** Two API processes, and one ride that clients ask of them. */
type Pair = readonly [ApiProcess, ApiProcess]

interface Ride {
  readonly scope: string
  readonly key: string
  readonly id: string
  readonly repeatable: boolean
}

interface Effect {
  readonly stage: string
  readonly attempt: number
  readonly note: string
  readonly at: Date | number
}

function newRide({ repeatable = true } = {}): Ride {
  const scope = `crash-${randomUUID()}`
  const key = randomUUID()
  return { scope, key, id: idOf({ scope, operation: 'create-ride', key }), repeatable }
}

async function startPair(framework: Framework, leaseMs: number): Promise<Pair> {
  const options = {
    framework,
    leaseMs,
    engine: engineName(),
    database: engineUrl(),
    provider: provider.url,
  }
  return await Promise.all([ApiProcess.start(options), ApiProcess.start(options)])
}

async function killPair(pair: Pair | undefined): Promise<void> {
  await Promise.all((pair ?? []).map((api) => api.kill()))
}

function send(api: ApiProcess, ride: Ride, failpoints = ''): Promise<Answer> {
  const headers = {
    'idempotency-key': ride.key,
    'x-scope': ride.scope,
    'x-repeatable': String(ride.repeatable),
    'x-failpoints': failpoints,
  }
  return sendRide(api.port, headers, BODY)
}

/** A client that sees its API die. @returns the code of the connection's error */
async function sendAndLose(api: ApiProcess, ride: Ride, failpoints: string): Promise<string> {
  const sent = await send(api, ride, failpoints).then(
    ({ status }) => `an answer: ${status}`,
    (error: unknown) => String((error as { code?: unknown }).code),
  )
  await api.exited()
  return sent
}

/** Retries until the answer is final: neither 409 in_progress nor a 5xx nor a broken connection. */
async function settle(api: ApiProcess, ride: Ride, failpoints = ''): Promise<Answer> {
  const until = performance.now() + SETTLE_MAX_MS
  let last = 'nothing'
  while (performance.now() < until) {
    const answer = await send(api, ride, failpoints)
    if (isFinal(answer)) return answer
    last = `${answer.status} ${answer.body.toString()}`
    await pause(RETRY_MS)
  }
  throw new Error(`no final answer within ${SETTLE_MAX_MS / 1_000} s; the last was ${last}`)
}

function isFinal(answer: Answer): boolean {
  return answer.status < 500 && codeOf(answer) !== 'in_progress'
}

function codeOf({ headers, body }: Answer): string | undefined {
  if (!String(headers['content-type']).startsWith('application/problem+json')) return undefined
  return (JSON.parse(body.toString()) as { code: string }).code
}

function bodyOf(answer: Answer): Readonly<Record<string, unknown>> {
  return JSON.parse(answer.body.toString()) as Record<string, unknown>
}

async function effectsOf({ scope, key }: Ride): Promise<readonly Effect[]> {
  const rows = await database.query(
    'select stage, attempt, note, at from effects where scope = $1 and idempotency_key = $2 order by at',
    [scope, key],
  )
  return rows as unknown as readonly Effect[]
}

interface StoredRecord {
  readonly locked_until: Date | number | null
  readonly state: string
  readonly response_body: Buffer | null
}

async function recordOf({ id }: Ride): Promise<StoredRecord | undefined> {
  const [row] = await database.query(
    'select locked_until, state, response_body from idempotency_key where id = $1',
    [id],
  )
  return row as StoredRecord | undefined
}

type RideEvent = Extract<RidesLine, { type: 'event' }>['event']

/** What the process has said of the ride. Its pipe may be read later than its answer: wait for what must come. */
function eventsOf(api: ApiProcess, ride: Ride): readonly RideEvent[] {
  return api.lines.flatMap((line) =>
    line.type === 'event' && 'id' in line.event && line.event.id === ride.id ? [line.event] : [],
  )
}

/** The same, once they are the expected: where they are not in time, the difference fails the test. */
async function expectEvents(
  api: ApiProcess,
  ride: Ride,
  expected: (events: readonly RideEvent[]) => void,
): Promise<void> {
  await vi.waitFor(() => {
    expected(eventsOf(api, ride))
  }, EVENTS_MAX_MS)
}

type Hit = Extract<RidesLine, { type: 'hit' }>

async function hit(api: ApiProcess, ride: Ride): Promise<Hit> {
  return await api.line('a failpoint hit', (line): line is Hit => isHit(line, ride))
}

function isHit(line: RidesLine, ride: Ride): line is Hit {
  return line.type === 'hit' && line.key === ride.key
}

/** One ride, one receipt, one charge; and everybody was told the same. */
async function expectOneRide(ride: Ride, answers: readonly Answer[]): Promise<readonly Effect[]> {
  const effects = await effectsOf(ride)
  expect(effects.map(({ stage }) => stage)).toEqual(['ride_created', 'receipt'])
  expect(provider.charges(ride.key).size).toBe(1)
  for (const answer of answers) expectSame(answer, answers[0])
  const [created, receipt] = effects
  const charge = provider.requests(ride.key)[0]?.charge
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 201))
  expect(bodyOf(answers[0] as Answer)).toEqual({
    ride: created?.note,
    to: 'Oslo',
    charge,
    receipt: receipt?.note,
  })
  expect(answers[0]?.headers['location']).toBe(`/rides/${String(created?.note)}`)
  return effects
}

function expectSame(answer: Answer, other: Answer | undefined): void {
  expect({ status: answer.status, body: answer.body.toString() }).toEqual({
    status: other?.status,
    body: other?.body.toString(),
  })
  expect(answer.headers['location']).toBe(other?.headers['location'])
  expect(answer.headers['content-type']).toBe(other?.headers['content-type'])
}

describe.each(FRAMEWORKS)('%s', (framework) => {
  describe('two processes, one key', () => {
    let pair: Pair

    beforeAll(async () => {
      pair = await startPair(framework, 1_000)
    })
    afterAll(async () => {
      await killPair(pair)
    })

    /** The two, alive again after the case before. */
    async function processes(): Promise<Pair> {
      await Promise.all(pair.map((api) => api.respawn()))
      return pair
    }

    /** Goal: a dead claim blocks until its lease ends, by the database's clock. */
    test('35 · SIGKILL after the claim, before the first commit → 409 until the lease ends, then executes', async () => {
      const [first, second] = await processes()
      const ride = newRide()
      expect(await sendAndLose(first, ride, 'claim.after||1=SIGKILL')).toBe('ECONNRESET')
      const lease = await recordOf(ride)

      const refused = await send(second, ride)
      expect(refused.status).toBe(409)
      expect(Number(refused.headers['retry-after'])).toBe(1)
      expect(bodyOf(refused)).toMatchObject({
        code: 'in_progress',
        retryable: true,
        operation_ref: ride.id,
      })
      expect(await effectsOf(ride)).toEqual([])

      const answer = await settle(second, ride)
      const [created, receipt] = await expectOneRide(ride, [answer, await send(second, ride)])
      expect([created?.attempt, receipt?.attempt]).toEqual([2, 2])
      expect(Number(created?.at)).toBeGreaterThanOrEqual(Number(lease?.locked_until ?? NaN))
    })

    /** Goal: what is committed is not run again, and its result is there for what follows. */
    test.each([
      ['stage', 'stage.commit.after|ride_created', ['ride_created'], [2]],
      ['call', 'call.record.after|charged', ['ride_created', 'charged'], [1]],
    ] as const)(
      '36 · SIGKILL after a %s was committed → resumes behind it, with its result; it is not run again',
      async (_what, point, resumed, requests) => {
        const [first, second] = await processes()
        const ride = newRide()
        expect(await sendAndLose(first, ride, `${point}|1=SIGKILL`)).toBe('ECONNRESET')
        const [before] = await effectsOf(ride)

        const answer = await settle(second, ride)
        const [created, receipt] = await expectOneRide(ride, [answer])
        expect(created).toEqual(before)
        expect([created?.attempt, receipt?.attempt]).toEqual([1, 2])
        expect(provider.requests(ride.key).map(({ attempt }) => attempt)).toEqual(requests)
        await expectEvents(second, ride, (events) => {
          const steps = events.flatMap((event) =>
            event.type === 'step_resumed' ? [event.step] : [],
          )
          expect(steps).toEqual(resumed)
          expect(events).toContainEqual(
            expect.objectContaining({
              type: 'taken_over',
              attempt: 2,
              recoveryPoint: resumed.at(-1),
            }),
          )
        })
      },
    )

    test('37 · SIGKILL after the call, before it was recorded → called again with the same downstream key, one charge', async () => {
      const [first, second] = await processes()
      const ride = newRide()
      expect(await sendAndLose(first, ride, 'call.work.after|charged|1=SIGKILL')).toBe('ECONNRESET')
      expect(provider.requests(ride.key)).toHaveLength(1)

      await expectOneRide(ride, [await settle(second, ride), await send(second, ride)])
      const [one, two, ...more] = provider.requests(ride.key)
      expect(more).toEqual([])
      expect([one?.attempt, two?.attempt]).toEqual([1, 2])
      expect(two?.downstreamKey).toBe(one?.downstreamKey)
    })

    /** Goal: a request that may have been sent is never sent twice, and nobody is told that it is safe. */
    test('38 · the same with repeatable: false → outcome_unknown, sent once, the handler not run again', async () => {
      const [first, second] = await processes()
      const ride = newRide({ repeatable: false })
      expect(await sendAndLose(first, ride, 'call.work.after|charged|1=SIGKILL')).toBe('ECONNRESET')

      const unknown = await settle(second, ride)
      expect(unknown.status).toBe(409)
      expect(unknown.headers['retry-after']).toBeUndefined()
      expect(bodyOf(unknown)).toMatchObject({
        code: 'outcome_unknown',
        status: 409,
        retryable: false,
        safe_new_key: false,
        operation_ref: ride.id,
      })
      await first.respawn()
      for (const api of [first, second, first]) expectSame(await send(api, ride), unknown)
      expect(await recordOf(ride)).toMatchObject({ state: 'unknown', response_body: null })
      expect(provider.requests(ride.key)).toHaveLength(1)
      expect((await effectsOf(ride)).map(({ stage, attempt }) => [stage, attempt])).toEqual([
        ['ride_created', 1],
      ])
      await expectEvents(second, ride, (events) => {
        const types = events.map(({ type }) => type)
        // Each of its two refusals at least was heard: else nothing is said of what else it did.
        expect(types.filter((type) => type === 'refused').length).toBeGreaterThanOrEqual(2)
        expect(types.filter((type) => type !== 'refused')).toEqual([])
      })
    })

    test.each(['finish.commit.after', 'respond.before'])(
      '39 · SIGKILL at %s: committed, not answered → replay, byte for byte',
      async (point) => {
        const [first, second] = await processes()
        const ride = newRide()
        expect(await sendAndLose(first, ride, `${point}||1=SIGKILL`)).toBe('ECONNRESET')
        const record = await recordOf(ride)
        expect(record?.state).toBe('finished')

        const answers = [await send(second, ride), await send(second, ride)]
        for (const { headers } of answers) expect(headers['idempotent-replayed']).toBe('true')
        expect(answers[0]?.body.equals(record?.response_body ?? Buffer.alloc(0))).toBe(true)
        const effects = await expectOneRide(ride, answers)
        expect(effects.map(({ attempt }) => attempt)).toEqual([1, 1])
        await expectEvents(second, ride, (events) => {
          expect(events.map(({ type }) => type)).toEqual(['replayed', 'replayed'])
        })
      },
    )

    /** Goal: a paused holder commits nothing once somebody has taken over. Method: the other finishes meanwhile. */
    test.each([
      ['before the first stage', 'claim.after|', [2, 2]],
      ['between stages', 'stage.commit.after|ride_created', [1, 2]],
      ['behind a call', 'call.work.after|charged', [1, 2]],
      ...(HOLDS_FILE
        ? []
        : ([
            ['inside a stage, its work done', 'stage.work.after|ride_created', [2, 2]],
            ['inside finish, its work done', 'finish.work.after|', [1, 2]],
          ] as const)),
    ] as const)(
      '41 · SIGSTOP longer than the lease, %s → taken over; continued, its next commit fails and its rows roll back',
      async (_where, failpoint, attempts) => {
        const [first, second] = await processes()
        const ride = newRide()
        const sent = send(first, ride, `${failpoint}|1=SIGSTOP`)
        sent.catch(() => undefined)
        await hit(first, ride)
        await first.stopped()

        const finished = await settle(second, ride).finally(() => first.continue())
        expect(finished.status).toBe(201)
        const told = await sent
        // It may have learned of its end from the database; it never says anything else than the other.
        if (codeOf(told) !== 'in_progress') expectSame(told, finished)

        const effects = await expectOneRide(ride, [
          finished,
          await settle(first, ride),
          await settle(second, ride),
        ])
        expect(effects.map(({ attempt }) => attempt)).toEqual(attempts)
        const { event } = await first.line(
          'lease_lost',
          (line): line is Extract<RidesLine, { type: 'event' }> =>
            line.type === 'event' && line.event.type === 'lease_lost' && line.event.id === ride.id,
        )
        expect(event).toMatchObject({ type: 'lease_lost', attempt: 1 })
      },
    )

    if (HOLDS_FILE) standInsideFile(processes)
    else standInside(processes)
  })

  /** Goal: there is no point at which a death loses or doubles anything. Method: die there, at each attempt. */
  describe('matrix', () => {
    const free: Pair[] = []
    const waiting: ((pair: Pair) => void)[] = []
    const killedAt = new Set<Failpoint>()

    beforeAll(async () => {
      const started = Array.from({ length: PAIRS }, () => startPair(framework, 500))
      free.push(...(await Promise.all(started)))
    })
    afterAll(async () => {
      await Promise.all(free.map(killPair))
    })

    async function withPair<R>(work: (pair: Pair) => Promise<R>): Promise<R> {
      const pair = free.pop() ?? (await new Promise<Pair>((given) => waiting.push(given)))
      try {
        return await work(pair)
      } finally {
        const next = waiting.shift()
        if (next === undefined) free.push(pair)
        else next(pair)
      }
    }

    test.concurrent.each(CASES)(
      '35–39 · SIGKILL at %s',
      { timeout: 60_000 },
      async (_title, { repeatable, plan }) => {
        await withPair(async (pair) => {
          const ride = newRide({ repeatable })
          const seen = await retryThrough(pair, ride, plan)
          for (const { name } of seen.kills) killedAt.add(name as Failpoint)
          await expectOutcome(
            ride,
            seen.answer,
            await Promise.all(pair.map((api) => settleOn(api, ride))),
          )
          expect(seen.kills).toHaveLength(plan.length)
        })
      },
    )

    test('35–39 · every failpoint has killed a process', () => {
      expect(FAILPOINTS.filter((name) => !killedAt.has(name))).toEqual([])
    })
  })
})

/** Where a process stands still inside a transaction. Defined where others can go on beside it. */
function standInside(processes: () => Promise<Pair>): void {
  /**
   * Goal: it is the attempt that is refused, not only what is finished or further on. Method: the other has taken over
   * and stands as well, alive, when the paused one goes on.
   */
  test.each([
    ['at the same point', 'stage.work.after|ride_created', 'stage.work.after|ride_created', [2, 2]],
    [
      'one stage further',
      'stage.work.after|ride_created',
      'stage.commit.after|ride_created',
      [2, 2],
    ],
    ['behind the call', 'stage.work.after|ride_created', 'call.record.after|charged', [2, 2]],
    ['inside finish too', 'finish.work.after|', 'finish.work.after|', [1, 2]],
  ] as const)(
    '41 · SIGSTOP longer than the lease, the other not done yet, %s → the paused one commits nothing',
    async (_where, failpoint, standing, attempts) => {
      const [first, second] = await processes()
      const ride = newRide()
      const sent = send(first, ride, `${failpoint}|1=SIGSTOP`)
      sent.catch(() => undefined)
      await hit(first, ride)
      await first.stopped()
      const taking = settle(second, ride, `${standing}|2=pause:1500`)
      taking.catch(() => undefined)
      await hit(second, ride).finally(() => first.continue())

      const told = await sent
      expect([told.status, codeOf(told)]).toEqual([409, 'in_progress'])
      const effects = await expectOneRide(ride, [await taking, await settle(first, ride)])
      expect(effects.map(({ attempt }) => attempt)).toEqual(attempts)
    },
  )

  /** Stops one process between the fencing UPDATE and COMMIT, until `work` is done; the row is locked meanwhile. */
  async function whileCommitting(
    ride: Ride,
    failpoint: string,
    work: (second: ApiProcess) => Promise<void>,
  ): Promise<Answer> {
    const [first, second] = await processes()
    const sent = send(first, ride, `${failpoint}|1=SIGSTOP`)
    sent.catch(() => undefined)
    await hit(first, ride)
    await first.stopped()
    try {
      await eventually('the lease to lapse', async () => {
        const rows = await database.query(
          `select 1 as lapsed from idempotency_key where id = $1 and locked_until < ${database.words.at(0)}`,
          [ride.id],
        )
        return rows.length === 1
      })
      await work(second)
    } finally {
      first.continue()
    }
    return await sent
  }

  /** Goal: a commit that is on its way is waited for, never overtaken. */
  test.each([
    ['stage', 'stage.fence.after|ride_created', 0, 'stage_committed'],
    ['finish', 'finish.fence.after|', 1, 'finished'],
  ] as const)(
    '41 · SIGSTOP between the fencing UPDATE of %s and COMMIT → in_progress until it ends; the commit lands',
    async (_where, failpoint, stages, landed) => {
      const ride = newRide()
      const told = await whileCommitting(ride, failpoint, async (second) => {
        for (let tries = 0; tries < 3; tries++) {
          const refused = await send(second, ride)
          expect([refused.status, codeOf(refused)]).toEqual([409, 'in_progress'])
          expect(refused.headers['retry-after']).toBeDefined()
        }
        expect(await effectsOf(ride)).toHaveLength(stages)
      })
      const [first, second] = await processes()
      const finished = await settle(second, ride)
      if (codeOf(told) !== 'in_progress') expectSame(told, finished)
      const effects = await expectOneRide(ride, [finished, await settle(first, ride)])
      expect(effects[stages]?.attempt).toBe(1)
      await expectEvents(first, ride, (events) => {
        expect(events.map(({ type }) => type)).toContain(landed)
      })
    },
  )

  /** Goal: the same without asking too much: whatever the others are told meanwhile, one ride comes of it. */
  test('41 · SIGSTOP between the fencing UPDATE and COMMIT → one ride, the same answers to both clients', async () => {
    const ride = newRide()
    let other: Promise<Answer> | undefined
    const told = await whileCommitting(ride, 'stage.fence.after|ride_created', async (second) => {
      other = settle(second, ride)
      other.catch(() => undefined)
      await pause(300)
    })
    const [first] = await processes()
    const answers = [(await other) as Answer, await settle(first, ride)]
    if (codeOf(told) !== 'in_progress') answers.push(told)
    const [created] = await expectOneRide(ride, answers)
    expect(created?.attempt).toBe(1)
  })

  /** Goal: one stopped process harms its own keys only. */
  test('41 · SIGSTOP between the fencing UPDATE and COMMIT, its key asked for → other keys are served', async () => {
    const ride = newRide()
    const other = newRide()
    await whileCommitting(ride, 'stage.fence.after|ride_created', async (second) => {
      const refused = send(second, ride)
      await pause(100) // The claim of the locked key is on its way, or even in the same batch.
      const before = performance.now()
      const answer = await send(second, other)
      expect([answer.status, codeOf(answer)]).toEqual([201, undefined])
      expect(performance.now() - before).toBeLessThan(1_000)
      await refused
    })
    await expectOneRide(other, [await settle((await processes())[0], other)])
  })
}

/** The same where a transaction has the whole file. */
function standInsideFile(processes: () => Promise<Pair>): void {
  /** Goal: who cannot be overtaken is not fenced, and nobody is told anything that is not so. */
  test.each([
    ['in a stage', 'stage.work.after|ride_created'],
    ['between the fencing UPDATE of a stage and COMMIT', 'stage.fence.after|ride_created'],
    ['in finish', 'finish.work.after|'],
    ['between the fencing UPDATE of finish and COMMIT', 'finish.fence.after|'],
  ] as const)(
    '41 · SIGSTOP longer than the lease, %s, with the file → 503 until it goes on; then its commit lands',
    async (_where, failpoint) => {
      const [first, second] = await processes()
      const ride = newRide()
      const sent = send(first, ride, `${failpoint}|1=SIGSTOP`)
      sent.catch(() => undefined)
      await hit(first, ride)
      await first.stopped()
      const refused = await send(second, ride).finally(() => first.continue())
      expect([refused.status, codeOf(refused)]).toEqual([503, 'store_unavailable'])
      expect(refused.headers['retry-after']).toBeDefined()
      const told = await sent
      const effects = await expectOneRide(ride, [told, await settle(second, ride)])
      expect(effects.map(({ attempt }) => attempt)).toEqual([1, 1])
    },
  )
}

/** What happens to one ride: each entry is the header until it has killed a process. */
interface Case {
  readonly repeatable: boolean
  readonly plan: readonly string[]
}

/** An attempt that dies here leaves the point ahead of the next one. */
const PASSED_AGAIN: ReadonlySet<Failpoint> = new Set([
  'claim.after',
  'stage.work.after',
  'stage.fence.after',
  'call.work.after',
  'finish.work.after',
  'finish.fence.after',
] as const)
/** Where a call that is not repeatable differs, and what comes behind it. */
const FROM_THE_CALL_ON = FAILPOINTS.slice(FAILPOINTS.indexOf('call.intent.after'))
/** The attempt ends here without a word, as if it had died; a whole process need not. */
const GONE = 'claim.after||1=throw'

function killAt(name: Failpoint, attempt: number | ''): string {
  const throwing = name.startsWith('release.') ? `handler||${attempt}=throw;` : ''
  return `${throwing}${name}||${attempt}=SIGKILL`
}

function firstDies(name: Failpoint): readonly string[] {
  if (name === 'claim.before') return [killAt(name, '')]
  // A takeover is the second attempt's.
  if (name === 'take_over.after') return [`${GONE};${killAt(name, 2)}`]
  return [killAt(name, 1)]
}

function secondDies(name: Failpoint): readonly string[] {
  if (name === 'claim.before') return [killAt('claim.after', 1), killAt(name, '')]
  if (name === 'take_over.after') return [`${GONE};${killAt(name, 2)}`, killAt(name, 3)]
  if (PASSED_AGAIN.has(name)) return [killAt(name, 1), killAt(name, 2)]
  return [`${GONE};${killAt(name, 2)}`]
}

const CASES: readonly (readonly [title: string, Case])[] = [
  ...FAILPOINTS.filter((name) => name !== 'call.intent.after').flatMap((name) => [
    [`${name}, first attempt`, { repeatable: true, plan: firstDies(name) }] as const,
    [`${name}, second attempt`, { repeatable: true, plan: secondDies(name) }] as const,
  ]),
  [
    'respond.before, of the first answer and of its replay',
    { repeatable: true, plan: [killAt('respond.before', 1), killAt('respond.before', 0)] },
  ],
  ...FROM_THE_CALL_ON.map(
    (name) =>
      [`${name}, call not repeatable`, { repeatable: false, plan: firstDies(name) }] as const,
  ),
  [
    'call.intent.after, second attempt',
    { repeatable: false, plan: secondDies('call.intent.after') },
  ],
]

/** A client that retries, first here and then there, while processes die. Kills follow the plan, in its order. */
async function retryThrough(pair: Pair, ride: Ride, plan: readonly string[]) {
  const kills: Hit[] = []
  const until = performance.now() + SETTLE_MAX_MS
  let turn = 0
  let last = 'nothing'
  while (performance.now() < until) {
    const api = pair[turn++ % 2] as ApiProcess
    if (!api.alive) {
      await Promise.race(pair.map((one) => one.respawn()))
      continue
    }
    try {
      const answer = await send(api, ride, plan[kills.length])
      if (isFinal(answer)) return { answer, kills }
      last = `${answer.status} ${answer.body.toString()}`
      await pause(RETRY_MS)
    } catch (error) {
      last = String(error)
      await api.exited()
      kills.push(...(api.lines.filter((line) => isHit(line, ride) && isKill(line, kills)) as Hit[]))
      api.respawn().catch(() => undefined) // Whoever needs it waits for it, and hears why.
    }
  }
  throw new Error(`no final answer within ${SETTLE_MAX_MS / 1_000} s; the last was ${last}`)
}

/** A line is an object of its own: those that were counted are not counted again. */
function isKill(line: RidesLine, counted: readonly Hit[]): boolean {
  return line.type === 'hit' && line.rule.endsWith('=SIGKILL') && !counted.includes(line)
}

async function settleOn(api: ApiProcess, ride: Ride): Promise<Answer> {
  await api.respawn()
  return await settle(api, ride)
}

async function expectOutcome(ride: Ride, answer: Answer, more: readonly Answer[]): Promise<void> {
  if (ride.repeatable || codeOf(answer) === undefined) {
    await expectOneRide(ride, [answer, ...more])
    if (!ride.repeatable) expect(provider.requests(ride.key)).toHaveLength(1)
    return
  }
  expect(codeOf(answer)).toBe('outcome_unknown')
  for (const other of more) expectSame(other, answer)
  expect((await effectsOf(ride)).map(({ stage }) => stage)).toEqual(['ride_created'])
  expect(provider.requests(ride.key).length).toBeLessThanOrEqual(1)
}

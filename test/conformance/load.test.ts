/**
 * Conformance 28 with several processes: many clients, few keys, for seconds; then the same while processes die at
 * random. What is looked at is the end: one effect of each stage, one charge and one response for every key.
 */
import { randomUUID } from 'node:crypto'
import { Agent } from 'node:http'
import pg from 'pg'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import {
  type Answer,
  type ApiOptions,
  ApiProcess,
  pause,
  sendRide,
} from '../support/api-process.ts'
import { type Provider, startProvider } from '../support/provider.ts'

const CLIENTS = 200
/** Keys in use at one time; each second there are new ones, or all but the first second would be replays. */
const KEYS = 20
const WAVE_MS = 1_000
const RETRY_MS = 30
const SETTLE_MAX_MS = 30_000
/** On a slow machine the killing goes on while clients ask for their last answers. */
const KILLS_MIN = 4

const database = new pg.Pool({ connectionString: inject('postgresUrl') })
let provider: Provider

beforeAll(async () => {
  provider = await startProvider({ latencyMs: 100 }) // Long enough for duplicates to meet the first.
})
afterAll(async () => {
  await provider.close()
  await database.end()
})

/** Everything that clients were told. */
interface Told {
  /** Final answers by key: as text, how often. */
  readonly finals: Map<string, Map<string, number>>
  /** Others, `status code`: how often. */
  readonly others: Map<string, number>
  replays: number
  lost: number
  /** Of the last connection that was lost. */
  why: string
}

test(
  '28 · 200 clients retrying 20 keys for 10 s against 3 API processes on one Postgres: one effect per key and stage, one response per key (same status and bytes), no 5xx',
  { timeout: 90_000 },
  async () => {
    await withProcesses({ leaseMs: 2_000, failpoints: false }, async (apis) => {
      const load = await runClients(apis, { forMs: 10_000, pick: Math.random })
      await expectOneOfEach(load)
      expect([...load.told.others.keys()]).toEqual(['409 in_progress'])
      expect({ lost: load.told.lost, why: load.told.why }).toEqual({ lost: 0, why: '' })
      expect(load.told.replays).toBeGreaterThan(0)
    })
  },
)

test.each([
  ['plain', false],
  ['pipelined', true],
])(
  '28, 35–39 · processes killed and started again at random while clients retry (%s pool): one effect per key and stage, one response per key',
  { timeout: 90_000 },
  async (_pool, pipeline) => {
    const seed = Number(process.env['PAWL_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
    console.log(`load: seed ${seed} (PAWL_SEED=${seed} repeats the choice of victims)`)
    const random = randomOf(seed)
    await withProcesses({ leaseMs: 500, failpoints: false, pipeline }, async (apis) => {
      let over = false
      const killing = (async () => {
        let kills = 0
        while (!over || kills < KILLS_MIN) {
          await pause(100 + random() * 400)
          const victim = apis[Math.floor(random() * apis.length)] as ApiProcess
          if (!victim.alive) continue
          await victim.kill()
          victim.respawn().catch(() => undefined) // The end of the test asks again, and hears why.
          kills++
        }
        await Promise.all(apis.map((api) => api.respawn()))
        return kills
      })()
      const load = await runClients(apis, {
        forMs: 5_000,
        pick: Math.random,
        loaded: () => {
          over = true
        },
      }).finally(() => {
        over = true
      })
      const kills = await killing
      console.log(`load: ${kills} kills, ${load.told.lost} connections lost, seed ${seed}`)
      expect(kills).toBeGreaterThanOrEqual(KILLS_MIN)
      await expectOneOfEach(load)
      expect([...load.told.others.keys()].filter((other) => other !== '409 in_progress')).toEqual(
        [],
      )
    })
  },
)

type Load = Awaited<ReturnType<typeof runClients>>

async function withProcesses(
  options: Pick<ApiOptions, 'leaseMs' | 'failpoints' | 'pipeline'>,
  work: (apis: readonly ApiProcess[]) => Promise<void>,
): Promise<void> {
  const frameworks = ['express', 'fetch', 'express'] as const
  const apis = await Promise.all(
    frameworks.map((framework) =>
      ApiProcess.start({
        ...options,
        framework,
        events: false,
        database: inject('postgresUrl'),
        provider: provider.url,
      }),
    ),
  )
  try {
    await work(apis)
  } finally {
    await Promise.all(apis.map((api) => api.kill()))
  }
}

/** Clients that ask for the keys of the moment until time is up, and then for every key until it is answered. */
async function runClients(
  apis: readonly ApiProcess[],
  {
    forMs,
    pick,
    loaded,
  }: { readonly forMs: number; readonly pick: () => number; readonly loaded?: () => void },
) {
  const scope = `load-${randomUUID()}`
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS })
  const waves: string[][] = []
  const told: Told = { finals: new Map(), others: new Map(), replays: 0, lost: 0, why: '' }
  const startedAt = performance.now()

  const ask = async (key: string): Promise<boolean> => {
    const api = apis[Math.floor(pick() * apis.length)] as ApiProcess
    const headers = { 'idempotency-key': key, 'x-scope': scope }
    const body = JSON.stringify({ to: `Oslo ${key}` })
    const answer = await sendRide(api.port, headers, body, agent).catch((error: unknown) => {
      told.why = String(error)
    })
    return note(told, key, answer)
  }
  const client = async (number: number): Promise<void> => {
    for (;;) {
      const elapsed = performance.now() - startedAt
      if (elapsed >= forMs) return
      const wave = Math.floor(elapsed / WAVE_MS)
      const keys = (waves[wave] ??= Array.from({ length: KEYS }, () => randomUUID()))
      await ask(keys[number % KEYS] as string)
      await pause(RETRY_MS)
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(number)))
  loaded?.()

  const until = performance.now() + SETTLE_MAX_MS
  const keys = waves.flat()
  await Promise.all(
    keys.map(async (key) => {
      while (!(await ask(key))) {
        if (performance.now() > until) throw await notSettled(scope, key, told)
        await pause(RETRY_MS)
      }
      await ask(key)
    }),
  )
  agent.destroy()
  return { scope, keys, told }
}

async function notSettled(scope: string, key: string, told: Told): Promise<Error> {
  const { rows } = await database.query(
    `select state, attempt, recovery_point, locked_until, clock_timestamp() as now
       from idempotency_key where scope = $1 and idempotency_key = $2`,
    [scope, key],
  )
  const others = JSON.stringify([...told.others])
  return new Error(
    `no final answer in time; its record: ${JSON.stringify(rows[0])}; answers so far: ${others}, lost ${told.lost}: ` +
      `${told.why}; replays ${told.replays}`,
  )
}

/** @returns whether the answer is final */
function note(told: Told, key: string, answer: Answer | void): boolean {
  if (answer === undefined) {
    told.lost++
    return false
  }
  const { status, headers } = answer
  const body = answer.body.toString()
  const isProblem = String(headers['content-type']).startsWith('application/problem+json')
  const code = isProblem ? (JSON.parse(body) as { code: string }).code : ''
  if (status >= 500 || code === 'in_progress') {
    count(told.others, `${status} ${code}`.trim())
    return false
  }
  if (headers['idempotent-replayed'] === 'true') told.replays++
  const finals = told.finals.get(key) ?? new Map<string, number>()
  told.finals.set(key, finals)
  count(finals, `${status} ${String(headers['location'])} ${body}`)
  return true
}

function count(counts: Map<string, number>, what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1)
}

async function expectOneOfEach({ scope, keys, told }: Load): Promise<void> {
  const { rows } = await database.query<{ key: string; stage: string; count: number }>(
    'select idempotency_key as key, stage, count(*)::int from effects where scope = $1 group by key, stage',
    [scope],
  )
  const effects = new Map(rows.map(({ key, stage, count }) => [`${key} ${stage}`, count]))
  const expected = keys.flatMap((key) => [`${key} ride_created`, `${key} receipt`])
  const wrong = expected.filter((effect) => effects.get(effect) !== 1)
  expect(wrong.map((effect) => `${effect}: ${effects.get(effect) ?? 0}`)).toEqual([])
  expect(effects.size).toBe(expected.length)

  const charged = keys.filter((key) => provider.charges(key).size !== 1)
  expect(charged.map((key) => [...provider.charges(key)])).toEqual([])

  const answers = keys.map((key) => [...(told.finals.get(key)?.keys() ?? [])])
  expect(answers.filter((different) => different.length !== 1)).toEqual([])
  expect(answers.filter(([answer]) => !answer?.startsWith('201 /rides/'))).toEqual([])
}

/** mulberry32: a choice of victims that can be made again. */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

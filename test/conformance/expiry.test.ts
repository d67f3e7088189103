/** Conformance 31–34: how long a key is remembered, and what is never forgotten. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { openApiOf } from '../../src/http/index.ts'
import { type App, effect, FRAMEWORKS, gate, rideHandler, setup } from '../support/app.ts'

const body = { to: 'Oslo' }

const MINUTE = 60_000
const HOUR = 60 * MINUTE

/** Makes all records of an app so much older. */
async function age(app: App, by: number): Promise<void> {
  const columns = ['expires_at', 'created_at', 'locked_at', 'locked_until']
  const earlier = columns.map((one) => `${one} = ${app.database.words.earlier(one, by)}`)
  await app.database.query(`update ${app.table} set ${earlier.join(', ')} where scope like $1`, [
    `${app.scope}/%`,
  ])
}

async function retentionOf(app: App): Promise<number> {
  const { words } = app.database
  const [row] = await app.database.query(
    `select ${words.seconds('created_at', 'expires_at')} as seconds from ${app.table} where scope like $1`,
    [`${app.scope}/%`],
  )
  return Number(row?.['seconds'])
}

describe.each(FRAMEWORKS)('%s', (framework) => {
  test('31 · the retention is in the OpenAPI fragment, and in a response header where asked for', async () => {
    const options = { retention: '2h', expiresHeader: true } as const
    const app = await setup({ framework, handler: rideHandler, options })
    const first = await app.send({ key: 'k', body })
    expect(first.headers['idempotency-key-retention']).toBe('7200')
    const again = await app.send({ key: 'k', body })
    expect(again).toReplay(first)
    expect(again.headers['idempotency-key-retention']).toBe('7200')
    const fragment = openApiOf({ operation: 'create-ride', scope: 'public', ...options })
    expect(fragment['x-idempotency'].retention_seconds).toBe(7_200)
    expect(JSON.stringify(fragment.parameters)).toContain('7200 seconds')
    expect(fragment.headers['Idempotency-Key-Retention']).toBeDefined()
  })

  test('31 · the header is not sent unless asked for', async () => {
    const app = await setup({ framework, handler: rideHandler })
    const first = await app.send({ key: 'k', body })
    expect(first.headers['idempotency-key-retention']).toBeUndefined()
  })

  test('32 · 24 h by default; configurable per operation', async () => {
    const day = await setup({ framework, handler: rideHandler })
    await day.send({ key: 'k', body })
    expect(await retentionOf(day)).toBeCloseTo(86_400, 0)
    const hour = await setup({ framework, handler: rideHandler, options: { retention: '1h' } })
    await hour.send({ key: 'k', body })
    expect(await retentionOf(hour)).toBeCloseTo(3_600, 0)
  })

  test.each([
    ['the same payload', body],
    ['another payload', { to: 'Rome' }],
  ])('32 · reuse after expiry, %s → a new execution', async (_, again) => {
    const app = await setup({ framework, handler: rideHandler })
    const first = await app.send({ key: 'k', body })
    await age(app, 24 * HOUR - MINUTE)
    expect(await app.send({ key: 'k', body })).toReplay(first)
    await age(app, 2 * MINUTE)
    const second = await app.send({ key: 'k', body: again })
    expect(second.status).toBe(201)
    expect(second.headers['idempotent-replayed']).toBeUndefined()
    expect(second.text()).not.toBe(first.text())
    expect(await app.send({ key: 'k', body: again })).toReplay(second)
    expect(await app.effects('k')).toMatchObject([
      { stage: 'ride_created', attempt: 1 },
      { stage: 'receipt', attempt: 1 },
      { stage: 'ride_created', attempt: 2 },
      { stage: 'receipt', attempt: 2 },
    ])
    expect(await app.records()).toHaveLength(1)
  })

  test('32 · by the clock of the database, with the shortest retention there is', async () => {
    const app = await setup({ framework, handler: rideHandler, options: { retention: '1s' } })
    const first = await app.send({ key: 'k', body })
    await sleep(1_050)
    const second = await app.send({ key: 'k', body })
    expect(second.headers['idempotent-replayed']).toBeUndefined()
    expect(second.text()).not.toBe(first.text())
  })

  test('32 · a new execution is a new request to others: another downstream key', async () => {
    const keys: string[] = []
    const app = await setup({
      framework,
      handler: async (_, run) => {
        await run.call('charged', ({ idempotencyKey }) => void keys.push(idempotencyKey))
        return { status: 201 }
      },
    })
    await app.send({ key: 'k', body })
    await age(app, 25 * HOUR)
    await app.send({ key: 'k', body })
    expect(new Set(keys).size).toBe(2)
  })

  /** Goal: no late retry is executed, and none learns what was there. Method: a reaper that leaves tombstones. */
  test('32 · after reaping to a tombstone → 409 response_not_stored, whatever is sent; nothing runs', async () => {
    const app = await setup({
      framework,
      handler: rideHandler,
      ownTable: true,
      options: { rebuild: () => ({ status: 200, body: 'rebuilt' }) },
    })
    const first = await app.send({ key: 'k', body })
    expect(first.status).toBe(201)
    await age(app, 25 * HOUR)
    expect(await app.store.reap(100, 0, HOUR)).toBe(1)
    expect(await app.store.reap(100, 0, HOUR)).toBe(0)
    for (const again of [body, { to: 'Rome' }]) {
      const reply = await app.send({ key: 'k', body: again })
      expect(reply).toMatchProblem({ status: 409, code: 'response_not_stored' })
      expect(reply.headers['location']).toBeUndefined()
    }
    expect(await app.effects('k')).toHaveLength(2)
    const stored = JSON.stringify(await app.records())
    for (const text of ['Oslo', '/rides', app.scope]) expect(stored).not.toContain(text)
  })

  test('32 · 20 at once after expiry → one new execution', async () => {
    const app = await setup({
      framework,
      handler: rideHandler,
      options: { inProgress: { wait: '20s' } },
    })
    await app.send({ key: 'k', body })
    await age(app, 25 * HOUR)
    const replies = await Promise.all(
      Array.from({ length: 20 }, () => app.send({ key: 'k', body })),
    )
    expect(replies.map(({ status }) => status)).toEqual(replies.map(() => 201))
    expect(new Set(replies.map((reply) => reply.text())).size).toBe(1)
    expect(await app.effects('k')).toHaveLength(4)
  })

  /** Goal: what is not done is never thrown away. Method: records in each state, a century old; then their clients. */
  test('33 · a running, resumable or unknown record is never reaped, however old', async () => {
    const running = gate()
    const app = await setup({
      framework,
      ownTable: true,
      idempotencyOptions: { lease: '5m' },
      handler: async (request, run) => {
        const { what } = request.body as { what: string }
        if (what === 'finished') return { status: 201, body: 'done' }
        if (what === 'running') await running.pass()
        await run.stage('one', async (tx) => effect(tx, run, 'one'))
        if (what === 'resumable' && request.count <= 4) throw new Error('boom')
        if (what === 'unknown')
          await run.call('charged', () => Promise.reject(new Error('no answer')), {
            repeatable: false,
          })
        return await run.finish(() => ({ status: 201, body: what }))
      },
    })
    const ask = (what: string) => app.send({ key: what, body: { what } })
    const first = ask('running')
    await running.reached
    expect((await ask('finished')).status).toBe(201)
    expect((await ask('resumable')).status).toBe(500)
    expect(await ask('unknown')).toMatchProblem({ status: 409, code: 'outcome_unknown' })
    const long = app.database.words.earlier('expires_at', 100 * 365 * 24 * HOUR)
    await app.database.query(`update ${app.table} set expires_at = ${long}`)
    expect(await app.store.reap(1_000, 0)).toBe(1)
    const left = (await app.records()).map((row) => [row['idempotency_key'], row['state']])
    expect(left.sort()).toEqual([
      ['resumable', 'running'],
      ['running', 'running'],
      ['unknown', 'unknown'],
    ])
    expect(await ask('unknown')).toMatchProblem({ status: 409, code: 'outcome_unknown' })
    const resumed = await ask('resumable')
    expect([resumed.status, resumed.text()]).toEqual([201, 'resumable'])
    expect(await app.effects('resumable')).toHaveLength(1)
    running.open()
    const done = await first
    expect(done.status).toBe(201)
    expect(await ask('running')).toReplay(done)
  })

  test('34 · the reaper works in bounded batches, and two at once are safe', async () => {
    const app = await setup({ framework, handler: rideHandler, ownTable: true })
    await Promise.all(
      Array.from({ length: 40 }, (_, at) => app.send({ key: `old-${String(at)}`, body })),
    )
    await age(app, 25 * HOUR)
    const fresh = await app.send({ key: 'fresh', body })
    expect(await app.store.reap(10, 0)).toBe(10)
    expect(await app.store.reap(100, 2 * 3_600_000)).toBe(0) // Expired for an hour: still in its grace.
    const counts = await Promise.all(Array.from({ length: 6 }, () => app.store.reap(7, 0)))
    for (const count of counts) expect(count).toBeLessThanOrEqual(7)
    expect(counts.reduce((a, b) => a + b) + (await app.store.reap(100, 0))).toBe(30)
    expect(await app.records()).toHaveLength(1)
    expect(await app.send({ key: 'fresh', body })).toReplay(fresh)
  })

  /** Goal: a reaper that decided before a claim does not delete after it. Method: the claim's row lock stands between. */
  test('34 · the reaper cannot delete a row that a claim has just taken over', async () => {
    const app = await setup({ framework, handler: rideHandler, ownTable: true })
    await app.send({ key: 'k', body })
    await age(app, 25 * HOUR)
    const { words } = app.database
    const claim = await app.database.connect()
    try {
      await claim.query(words.begin)
      await claim.query(
        `update ${app.table}
            set state = 'running', recovery_point = 'started', attempt = attempt + 1, owner = 'claim',
                expires_at = ${words.at(24 * HOUR)}, locked_until = ${words.at(0)}`,
      )
      const reaping = app.store.reap(100, 0)
      const early = await Promise.race([reaping, sleep(200).then(() => 'waits' as const)])
      await claim.query('commit')
      expect([0, 'waits']).toContain(early)
      expect(await reaping).toBe(0)
    } finally {
      await claim.end()
    }
    expect(await app.records()).toHaveLength(1)
    const second = await app.send({ key: 'k', body })
    expect(second.status).toBe(201)
  })

  test('34 · reapers, claims and replays of expired keys at once → each answer is whole, no key is lost', async () => {
    const app = await setup({
      framework,
      handler: rideHandler,
      ownTable: true,
      options: { inProgress: { wait: '20s' } },
    })
    const keys = Array.from({ length: 20 }, (_, at) => `k-${String(at)}`)
    await Promise.all(keys.map((key) => app.send({ key, body })))
    await age(app, 25 * HOUR)
    let reaping = true
    const reapers = [1, 2].map(async () => {
      while (reaping) {
        await app.store.reap(3, 0)
        await sleep(1) // A library that answers at once would leave nobody else a turn.
      }
    })
    const replies = await Promise.all(
      keys.flatMap((key) => [app.send({ key, body }), app.send({ key, body })]),
    )
    reaping = false
    await Promise.all(reapers)
    expect(replies.map(({ status }) => status)).toEqual(replies.map(() => 201))
    expect(await app.records()).toHaveLength(keys.length)
    for (const [at, key] of keys.entries()) {
      expect(replies[2 * at]?.text()).toBe(replies[2 * at + 1]?.text())
      expect(await app.effects(key)).toHaveLength(4)
    }
  })
})

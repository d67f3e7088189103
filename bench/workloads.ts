/** The requests that are compared: each inserts one row in its own transaction, with and without protection. */
import { randomUUID } from 'node:crypto'
import type { Server } from 'node:http'
import { Agent, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import type pg from 'pg'
import { createIdempotency, type Idempotency, type RunResult } from 'pawl'
import { idempotent } from 'pawl/express'
import { pgStore } from 'pawl/pg'
import type { Way } from './slices.ts'

const INSERT = 'insert into bench_ride (destination) values ($1)'

/** The handler the ordinary way: BEGIN, INSERT, COMMIT on one client. */
export async function insertBare(pool: pg.Pool): Promise<void> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    await client.query(INSERT, ['Oslo'])
    await client.query('commit')
  } catch (error) {
    await client.query('rollback')
    throw error
  } finally {
    client.release()
  }
}

/** What is asked in the engine comparisons, but for the key. */
export const RIDE = { operation: 'create-ride', scope: 'bench', input: { to: 'Oslo' } } as const

type Bench = Idempotency<pg.PoolClient>

/** One request at engine level: finished by the handler, or by a replay. */
export async function bookRide(idempotency: Bench, key: string): Promise<RunResult> {
  const result = await idempotency.run({ ...RIDE, key }, (_, run) =>
    run.finish(async (tx) => {
      await tx.query(INSERT, ['Oslo'])
      return { status: 201, body: { to: 'Oslo' } }
    }),
  )
  if (result.kind !== 'finished') throw new Error(`${key} was answered with ${result.kind}`)
  return result
}

/** Both ways at engine level: no HTTP on either side, so nothing hides the difference. */
export function engineWays(pool: pg.Pool): readonly [bare: Way, guarded: Way] {
  const idempotency = createIdempotency({ store: pgStore(pool) })
  return [
    { name: 'handler alone', request: () => insertBare(pool) },
    { name: 'with Pawl', request: async () => void (await bookRide(idempotency, randomUUID())) },
  ]
}

/** Two stages, and between them a call of another system, which answers at once. */
export function stepsWays(pool: pg.Pool): readonly [bare: Way, guarded: Way] {
  const idempotency = createIdempotency({ store: pgStore(pool) })
  return [
    {
      name: 'two stages and a call alone',
      request: async () => {
        await insertBare(pool)
        await charge()
        await insertBare(pool)
      },
    },
    {
      name: 'two stages and a call, with Pawl',
      request: async () => {
        await idempotency.run({ ...RIDE, key: randomUUID() }, async (_, run) => {
          await run.stage('booked', async (tx) => {
            await tx.query(INSERT, ['Oslo'])
          })
          await run.call('charged', charge)
          return await run.finish(async (tx) => {
            await tx.query(INSERT, ['Bergen'])
            return { status: 201, body: { to: 'Oslo' } }
          })
        })
      },
    },
  ]
}

function charge(): Promise<{ readonly charge: string }> {
  return new Promise((resolve) => {
    setImmediate(() => resolve({ charge: 'ch_1' }))
  })
}

/** Replays of one key. */
export async function hotKey(
  pool: pg.Pool,
  { cache = false }: { readonly cache?: boolean } = {},
): Promise<() => Promise<void>> {
  const idempotency = createIdempotency({ store: pgStore(pool), cache })
  const key = randomUUID()
  await bookRide(idempotency, key)
  const request = { ...RIDE, key }
  return async () => assertReplayed(await idempotency.run(request, nobody))
}

/** The handler of what is a replay. */
function nobody(): never {
  throw new Error('a replay runs no handler')
}

export function assertReplayed(result: RunResult): void {
  if (result.kind !== 'finished' || !result.replayed) throw new Error('it was not a replay')
}

/** Both routes in one Express application; the server runs in a process of its own. */
export function ridesApi(pool: pg.Pool): Promise<Server> {
  const idempotency = createIdempotency({ store: pgStore(pool) })
  const app = express()
  app.use(express.json())
  app.post('/bare', async (_request, response) => {
    await insertBare(pool)
    response.status(201).json({ to: 'Oslo' })
  })
  app.post(
    '/guarded',
    idempotent(idempotency, { operation: 'create-ride', scope: 'public' }, (_request, run) =>
      run.finish(async (tx) => {
        await tx.query(INSERT, ['Oslo'])
        return { status: 201, body: { to: 'Oslo' } }
      }),
    ),
  )
  return new Promise((resolve) => {
    const server: Server = app.listen(0, '127.0.0.1', () => resolve(server))
  })
}

/** Both ways over HTTP, against a running rides API. */
export function httpWays(port: number): readonly [bare: Way, guarded: Way] {
  const agent = new Agent({ keepAlive: true })
  const post = (path: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json', 'idempotency-key': `"${randomUUID()}"` }
      const request = httpRequest({ agent, host: '127.0.0.1', port, path, method: 'POST', headers })
      request.on('error', reject)
      request.on('response', (response) => {
        response.resume()
        response.on('end', () => {
          if (response.statusCode === 201) resolve()
          else reject(new Error(`${path} answered ${String(response.statusCode)}`))
        })
      })
      request.end('{"to":"Oslo"}')
    })
  return [
    { name: 'Express, route alone', request: () => post('/bare') },
    { name: 'Express, with Pawl', request: () => post('/guarded') },
  ]
}

/** The port a server was given. */
export function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}

/**
 * A real API process for crash tests: books a ride (stage), charges the card (call), writes a receipt (finish). The same
 * handler behind Express 5 or behind fetch, on any engine. `X-Failpoints` says where a request kills, stops
 * or fails its own process; everything that happens is one JSON object a line on stdout.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { randomUUID } from 'node:crypto'
import { writeSync } from 'node:fs'
import type { Server } from 'node:http'
import type { NextFunction, Request as ExpressReq, Response as ExpressRes } from 'express'
import { idempotent as expressIdempotent } from '../../src/frameworks/express.ts'
import { idempotent as fetchIdempotent } from '../../src/frameworks/fetch.ts'
import { createIdempotency, type PawlEvent, type Run, systemRuntime } from '../../src/index.ts'
import { createCompleter } from '../../src/workers/index.ts'
import { type EngineName, ridesDatabase } from './rides-database.ts'

const OPERATION = 'create-ride'
/** How soon a completer looks, at the most. */
const COMPLETER_MS = 100

/** One line of the process's stdout. */
export type RidesLine =
  | { readonly type: 'listening'; readonly port: number }
  | { readonly type: 'event'; readonly event: PawlEvent }
  | {
      readonly type: 'hit'
      readonly rule: string
      readonly key: string
      readonly name: string
      readonly step: string
      readonly attempt: number
    }

/** `name|step|attempt=action`; an empty step or attempt means any. */
interface Rule {
  readonly text: string
  readonly name: string
  readonly step: string
  readonly attempt: string
  readonly action: string
}

interface Asked {
  readonly key: string
  readonly rules: readonly Rule[]
}

const { env } = process
const failing = new AsyncLocalStorage<Asked>()

function tell(line: RidesLine): void {
  const text = JSON.stringify(line, (_name, value: unknown) =>
    value instanceof Error ? String(value) : value,
  )
  writeSync(1, `${text}\n`) // Synchronous: it is out before the next instruction, which may be the last.
}

function rulesOf(header: string | undefined | null): readonly Rule[] {
  return (header ?? '')
    .split(';')
    .filter((text) => text !== '')
    .map((text) => {
      const [where = '', action = ''] = text.split('=')
      const [name = '', step = '', attempt = ''] = where.split('|')
      return { text, name, step, attempt, action }
    })
}

/** Passes a failpoint of Pawl's, or the handler's own (`handler`). */
async function pass(name: string, at: { readonly attempt: number; readonly step?: string }) {
  const asked = failing.getStore()
  const { attempt, step = '' } = at
  const rule = asked?.rules.find(
    (one) =>
      one.name === name &&
      (one.step === '' || one.step === step) &&
      (one.attempt === '' || one.attempt === String(attempt)),
  )
  if (asked === undefined || rule === undefined) return
  tell({ type: 'hit', rule: rule.text, key: asked.key, name, step, attempt })
  const [verb, amount] = rule.action.split(':')
  if (verb === 'SIGKILL') {
    process.kill(process.pid, 'SIGKILL')
    await new Promise(() => undefined)
  } else if (verb === 'SIGSTOP') process.kill(process.pid, 'SIGSTOP')
  else if (verb === 'throw') throw new Error(`failpoint ${name}`)
  else if (verb === 'pause') await new Promise((resolve) => setTimeout(resolve, Number(amount)))
  else throw new Error(`no such action: ${rule.action}`)
}

function setting(name: string): string {
  const value = env[name]
  if (value === undefined)
    throw new Error(`${name} is not set; start this file with api-process.ts`)
  return value
}

const KEEP_ALIVE_MS = 120_000
const LEASE_MS = Number(setting('RIDES_LEASE_MS'))

const { store, tx: inWords } = await ridesDatabase({
  engine: setting('RIDES_ENGINE') as EngineName,
  at: setting('RIDES_DATABASE'),
  pipeline: env['RIDES_PIPELINE'] === 'on',
})
const idempotency = createIdempotency({
  store,
  lease: LEASE_MS,
  ...(env['RIDES_EVENTS'] === 'off'
    ? {}
    : { onEvent: (event: PawlEvent) => tell({ type: 'event', event }) }),
  // `off`: as in production, where the fence may share a packet with COMMIT.
  ...(env['RIDES_FAILPOINTS'] === 'off' ? {} : { runtime: { ...systemRuntime, failpoint: pass } }),
})

async function effect(tx: unknown, run: Run<unknown>, stage: string, note: string) {
  await inWords(tx).query(
    'insert into effects (scope, idempotency_key, stage, attempt, note) values ($1, $2, $3, $4, $5)',
    [run.scope, run.key, stage, run.attempt, note],
  )
}

/** Ids are drawn at random in each execution: a step that ran twice shows in the bytes. */
async function book(run: Run<unknown>, input: { readonly to: string }, repeatable: boolean) {
  const ride = await run.stage('ride_created', async (tx) => {
    const id = `ride-${randomUUID()}`
    await effect(tx, run, 'ride_created', id)
    return { id, to: input.to }
  })
  await pass('handler', run)
  const charge = await run.call(
    'charged',
    async ({ idempotencyKey, signal }) => {
      const response = await fetch(`${setting('RIDES_PROVIDER')}/charges`, {
        method: 'POST',
        headers: { 'idempotency-key': idempotencyKey },
        body: JSON.stringify({ key: run.key, ride: ride.id, attempt: run.attempt }),
        signal,
      })
      if (!response.ok) throw new Error(`the provider answered ${response.status}`)
      return (await response.json()) as { charge: string }
    },
    { repeatable },
  )
  return await run.finish(async (tx) => {
    const receipt = `receipt-${randomUUID()}`
    await effect(tx, run, 'receipt', receipt)
    const body = { ride: ride.id, to: ride.to, charge: charge.charge, receipt }
    return { status: 201, headers: { location: `/rides/${ride.id}` }, body }
  })
}

/** The same, for a completer to finish. What it is asked to do by a failpoint holds for the client's request alone. */
const bookRide = idempotency.operation('book-ride', {
  handler: (input: { readonly to: string; readonly repeatable: boolean }, run) =>
    book(run, input, input.repeatable),
  grace: Math.max(1_000, LEASE_MS),
  resolvers: {
    charged: async ({ idempotencyKey, signal }) => {
      const asked = `${setting('RIDES_PROVIDER')}/charges/${idempotencyKey}`
      const response = await fetch(asked, { signal })
      return response.ok
        ? { kind: 'done', result: await response.json() }
        : { kind: response.status === 404 ? 'never' : 'unknown' }
    },
  },
})

// Each loads its own framework only: a matrix of kills starts a hundred processes.
async function expressServer(): Promise<Parameters<typeof listen>[0]> {
  const { default: express } = await import('express')
  const app = express()
  app.use(express.json())
  app.use((req, _res, next) => {
    failing.run(
      { key: req.get('idempotency-key') ?? '', rules: rulesOf(req.get('x-failpoints')) },
      next,
    )
  })
  const route = { operation: OPERATION, scope: (req: ExpressReq) => req.get('x-scope') ?? '' }
  app.post(
    '/rides',
    expressIdempotent(idempotency, route, (req: ExpressReq, run) =>
      book(run, req.body as { to: string }, req.get('x-repeatable') !== 'false'),
    ),
  )
  app.post(
    '/bookings',
    expressIdempotent(idempotency, {
      operation: bookRide,
      scope: route.scope,
      input: (req: ExpressReq) => ({
        to: (req.body as { to: string }).to,
        repeatable: req.get('x-repeatable') !== 'false',
      }),
    }),
  )
  app.use((error: unknown, _req: ExpressReq, res: ExpressRes, _next: NextFunction) => {
    res.status(500).json({ error: String(error) })
  })
  return (port, done) => app.listen(port, '127.0.0.1', done)
}

async function fetchServer(): Promise<Parameters<typeof listen>[0]> {
  const { createAdaptorServer } = await import('@hono/node-server')
  const route = {
    operation: OPERATION,
    scope: (request: Request) => request.headers.get('x-scope') ?? '',
  }
  const rides = fetchIdempotent(idempotency, route, async (request, run) =>
    book(
      run,
      (await request.json()) as { to: string },
      request.headers.get('x-repeatable') !== 'false',
    ),
  )
  const server = createAdaptorServer({
    fetch: (request: Request) => {
      const { headers } = request
      const asked = {
        key: headers.get('idempotency-key') ?? '',
        rules: rulesOf(headers.get('x-failpoints')),
      }
      return failing.run(asked, () =>
        rides(request).catch((error: unknown) =>
          Response.json({ error: String(error) }, { status: 500 }),
        ),
      )
    },
  }) as Server
  return (port, done) => server.listen(port, '127.0.0.1', done)
}

function listen(start: (port: number, done: () => void) => Server): void {
  const server = start(Number(env['RIDES_PORT'] ?? 0), () => {
    const address = server.address()
    if (typeof address !== 'object' || address === null) throw new Error('no port')
    tell({ type: 'listening', port: address.port })
  })
  // Longer than any test: a connection that the server gives up (after 5 s) while a client takes it up again is reset,
  // and looks like an answer that was lost.
  server.keepAliveTimeout = KEEP_ALIVE_MS
}

if (env['RIDES_COMPLETER'] === 'on') {
  createCompleter(idempotency, {
    every: COMPLETER_MS,
    backoff: { first: COMPLETER_MS, max: COMPLETER_MS * 10 },
  }).start()
}
process.stdin.resume()
process.stdin.once('end', () => process.exit(0)) // The test is gone.
listen(await (setting('RIDES_FRAMEWORK') === 'fetch' ? fetchServer() : expressServer()))

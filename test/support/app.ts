/**
 * A small API for conformance tests: one handler behind Express 5, Express 4 or fetch, in this process, on the run's
 * PostgreSQL, with a scope of its own. Closed when the test ends, and looked after: nothing may be left open.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import express from 'express'
import { onTestFinished } from 'vitest'
import { idempotent as idempotentExpress } from '../../src/frameworks/express.ts'
import { idempotent as idempotentFetch } from '../../src/frameworks/fetch.ts'
import type { RouteOptions } from '../../src/http/index.ts'
import {
  createIdempotency,
  type Draft,
  type HandlerResult,
  type Idempotency,
  type IdempotencyOptions,
  type Outcome,
  type PawlEvent,
  type Run,
  type Store,
} from '../../src/index.ts'
import type { Queries } from '../contract/store-under-test.ts'
import { bounded } from './api-process.ts'
import {
  type AppDatabase,
  appDatabase,
  type DatabaseOptions,
  prepare,
  type Row,
} from './app-database.ts'
import { engineName } from './engine.ts'
import { type Reply, send, type SendRequest } from './http-client.ts'
import './matchers.ts'

const ALL = ['express 5', 'express 4', 'fetch'] as const
export type FrameworkName = (typeof ALL)[number]
/** What is behind a framework is the same on every engine: the run's PostgreSQL has them all. */
export const FRAMEWORKS: readonly FrameworkName[] =
  engineName() === 'postgres' ? ALL : ['express 5', 'fetch']

/** Both under one type: their own differ in what is not used here. */
const EXPRESS = {
  'express 5': express,
  'express 4': createRequire(import.meta.url)('express4') as typeof express,
}

export type Tx = Queries
export type AppStore = Store<Tx>
export type AppRun = Run<Tx>

/** A request as the handler of a test sees it, whatever the framework. */
export interface AppRequest {
  /** Parsed, where it is JSON. */
  readonly body: unknown
  readonly method: string
  header(name: string): string | undefined
  /** How often a handler of this app ran, this time included. */
  readonly count: number
}

/** A handler that writes its response itself, in the framework's own way. */
export interface PlainHandler {
  express(req: IncomingMessage, res: express.Response): unknown
  fetch(request: Request): Promise<Response> | Response
}

export type AppOptions = Partial<Omit<RouteOptions<never>, 'scope' | 'rebuild' | 'fingerprint'>> & {
  readonly rebuild?: (stored: { readonly outcome: Outcome }) => Draft | Promise<Draft>
}

/** How an app is set up. */
export interface Setup extends DatabaseOptions {
  readonly framework: FrameworkName
  readonly handler?: (request: AppRequest, run: AppRun) => Promise<HandlerResult> | HandlerResult
  /** Instead of `handler`: the middleware form on Express. Served at `/bare` too, without Pawl. */
  readonly plain?: PlainHandler
  readonly options?: AppOptions
  readonly idempotencyOptions?: Partial<Omit<IdempotencyOptions<Tx, string>, 'store' | 'onEvent'>>
  /** What stands in front: authentication, rate limits. What it returns is the answer. */
  readonly before?: (request: Omit<AppRequest, 'count' | 'body'>) => Draft | undefined
  /** The scope of another app, to share its records. */
  readonly scope?: string
  /** A table of its own, migrated now and dropped at the end: for whatever looks at all records. */
  readonly ownTable?: boolean
}

/** One effect that a handler committed. */
export interface Effect {
  readonly stage: string
  readonly attempt: number
  readonly note: string | null
}

/** A record, as its row says. */
export type RecordRow = Row

/** A running app. */
export interface App {
  readonly url: string
  readonly scope: string
  readonly table: string
  readonly database: AppDatabase
  readonly store: AppStore
  readonly idempotency: Idempotency<Tx>
  readonly events: readonly PawlEvent[]
  /** `user` shares no key with another; `u1` by default. */
  send(request: Omit<SendRequest, 'url'> & { readonly user?: string }): Promise<Reply>
  /** The first event of that type, past or future. */
  seen<T extends PawlEvent['type']>(
    type: T,
    matches?: (event: Extract<PawlEvent, { type: T }>) => boolean,
  ): Promise<Extract<PawlEvent, { type: T }>>
  /** How often the handler ran. */
  count(): number
  /** In the order they were committed. */
  effects(key: string): Promise<readonly Effect[]>
  record(key: string, user?: string): Promise<RecordRow | undefined>
  /** All records of this app's scope. */
  records(): Promise<readonly RecordRow[]>
  close(): Promise<void>
}

const EVENT_MAX_MS = 10_000
let apps = 0

/** Starts an app; it is closed when the test ends. */
export async function setup(asked: Setup): Promise<App> {
  const name = `app_${process.pid}_${String(++apps)}`
  const scope = asked.scope ?? `scope-${randomUUID()}`
  const table = asked.ownTable === true ? name : 'idempotency_key'
  const database = appDatabase(name, asked)
  if (asked.down !== true) await prepare(database)
  const store = database.store(table)
  if (asked.ownTable === true) await store.migrate()
  const { events, onEvent, seen } = eventLog()
  const idempotency = createIdempotency<Tx, string>({
    store,
    ...asked.idempotencyOptions,
    onEvent,
  })
  const counter = { count: 0 }
  const server = serverOf(asked, { scope, idempotency, counter })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`

  const scopeOf = (user: string): string => `${scope}/${user}`
  const rows = database.query
  let closed = false
  const app: App = {
    url,
    scope,
    table,
    database,
    store,
    idempotency,
    events,
    seen,
    send: ({ user = 'u1', ...request }) =>
      send({ ...request, url, headers: { 'x-user': user, ...request.headers } }),
    count: () => counter.count,
    effects: async (key) =>
      (await rows(
        `select stage, attempt, note from effects where scope like $1 and idempotency_key = $2 order by at`,
        [`${scope}/%`, key],
      )) as unknown as Effect[],
    record: async (key, user = 'u1') =>
      (
        await rows(`select * from ${table} where scope = $1 and idempotency_key = $2`, [
          scopeOf(user),
          key,
        ])
      )[0],
    records: () => rows(`select * from ${table} where scope like $1`, [`${scope}/%`]),
    close: async () => {
      if (closed) return
      closed = true
      server.closeAllConnections()
      server.close()
      await idempotency.close({ wait: '2s' })
      if (asked.ownTable === true) {
        for (const one of [table, `${table}_backlog`, `${table}_migration`])
          await rows(`drop table ${one}`)
      }
      await database.expectQuiet()
      await database.end()
    },
  }
  onTestFinished(app.close)
  return app
}

/** Inserts an effect of a stage, inside its transaction. */
export async function effect(tx: Tx, run: AppRun, stage: string, note?: string): Promise<void> {
  await tx.query(
    'insert into effects (scope, idempotency_key, stage, attempt, note) values ($1, $2, $3, $4, $5)',
    [run.scope, run.key ?? '', stage, run.attempt, note ?? null],
  )
}

/** Two stages, an effect each; every execution draws another id, so that one that ran twice shows in the bytes. */
export async function rideHandler({ body }: AppRequest, run: AppRun): Promise<HandlerResult> {
  const ride = await run.stage('ride_created', async (tx) => {
    const id = `ride-${randomUUID()}`
    await effect(tx, run, 'ride_created', id)
    return { id }
  })
  return await run.finish(async (tx) => {
    await effect(tx, run, 'receipt')
    return {
      status: 201,
      headers: { location: `/rides/${ride.id}` },
      body: { ride: ride.id, asked: body },
    }
  })
}

/** Holds whoever comes through until it is opened. */
export interface Gate {
  /** Waits until the gate is open. */
  pass(): Promise<void>
  /** Somebody is standing before it, or has been. */
  readonly reached: Promise<void>
  open(): void
}

export function gate(): Gate {
  let arrive!: () => void
  let open!: () => void
  const reached = new Promise<void>((resolve) => {
    arrive = resolve
  })
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  // Whatever a failed test leaves behind must not hang its app.
  onTestFinished(() => open())
  return {
    reached: bounded('the gate to be reached', EVENT_MAX_MS, reached),
    open,
    pass: async () => {
      arrive()
      await opened
    },
  }
}

function eventLog(): Pick<App, 'events' | 'seen'> & { onEvent: (event: PawlEvent) => void } {
  const events: PawlEvent[] = []
  const watchers = new Set<(event: PawlEvent) => void>()
  return {
    events,
    onEvent: (event) => {
      events.push(event)
      for (const watch of watchers) watch(event)
    },
    seen: async (type, matches = () => true) => {
      type Wanted = Extract<PawlEvent, { type: typeof type }>
      const is = (event: PawlEvent): event is Wanted =>
        event.type === type && matches(event as Wanted)
      const past = events.find(is)
      if (past !== undefined) return past
      const next = new Promise<Wanted>((resolve) => {
        const watch = (event: PawlEvent): void => {
          if (!is(event)) return
          watchers.delete(watch)
          resolve(event)
        }
        watchers.add(watch)
      })
      return await bounded(`an event "${type}"`, EVENT_MAX_MS, next)
    },
  }
}

interface Served {
  readonly scope: string
  readonly idempotency: Idempotency<Tx>
  readonly counter: { count: number }
}

function serverOf(asked: Setup, served: Served): Server {
  return asked.framework === 'fetch'
    ? fetchServer(asked, served)
    : expressServer(asked, EXPRESS[asked.framework], served)
}

function routeOf<Req>(
  { options }: Setup,
  user: (request: Req) => string | undefined,
  scope: string,
) {
  return {
    operation: 'create-ride',
    ...options,
    scope: (request: Req) => `${scope}/${user(request) ?? ''}`,
  }
}

function statusOf(error: unknown): number {
  return (error as { status?: number }).status ?? 500
}

function expressServer(asked: Setup, lib: typeof express, served: Served): Server {
  const { before, handler, plain } = asked
  const { scope, idempotency, counter } = served
  const app = lib()
  app.use((req, res, next) => {
    const draft = before?.({ method: req.method, header: (name) => req.get(name) })
    if (draft === undefined) next()
    else res.status(draft.status ?? 200).json(draft.body)
  })
  app.use(lib.json({ limit: '5mb' }))
  const route = routeOf(asked, (req: express.Request) => req.get('x-user'), scope)
  const run = (req: express.Request, res: express.Response): unknown => {
    counter.count++
    return plain?.express(req, res)
  }
  const guarded =
    plain !== undefined
      ? [idempotentExpress(idempotency, route as never), run]
      : [
          idempotentExpress(idempotency, route as never, (req, own) =>
            handler?.(
              {
                body: req.body as unknown,
                method: req.method ?? '',
                header: (name) => req.get(name),
                count: ++counter.count,
              },
              own,
            ),
          ),
        ]
  app.all('/bare', run)
  app.use(...(guarded as unknown as [express.RequestHandler]))
  app.use(
    (error: unknown, _req: express.Request, res: express.Response, _next: express.NextFunction) => {
      res.status(statusOf(error)).json({ error: String(error) })
    },
  )
  return createServer(app as (req: IncomingMessage, res: ServerResponse) => void)
}

function fetchServer(asked: Setup, { scope, idempotency, counter }: Served): Server {
  const { before, handler, plain } = asked
  const route = routeOf(asked, (request: Request) => request.headers.get('x-user') ?? '', scope)
  const headerOf = (request: Request) => (name: string) => request.headers.get(name) ?? undefined
  const guarded = idempotentFetch(idempotency, route as never, async (request, run) => {
    const count = ++counter.count
    if (plain !== undefined) return await plain.fetch(request)
    const isJson = (request.headers.get('content-type') ?? '').includes('json')
    const body = isJson ? await request.json() : undefined
    return await handler?.({ body, method: request.method, header: headerOf(request), count }, run)
  })
  return createAdaptorServer({
    fetch: async (request: Request) => {
      const draft = before?.({ method: request.method, header: headerOf(request) })
      if (draft !== undefined) return Response.json(draft.body, { status: draft.status ?? 200 })
      if (plain !== undefined && new URL(request.url).pathname === '/bare') {
        counter.count++
        return await plain.fetch(request)
      }
      try {
        return await guarded(request)
      } catch (error) {
        return Response.json({ error: String(error) }, { status: statusOf(error) })
      }
    },
  }) as Server
}

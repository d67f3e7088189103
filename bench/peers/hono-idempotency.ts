/**
 * `hono-idempotency`: a middleware of Hono and nothing else, so it is called by `app.fetch`, without a network, and
 * compared with the same application without it. Written from its documents; it was in no registry when this was.
 */
import type { OpenedPeer, Peer, PeerBed } from '../peers.ts'

interface Context {
  json(body: unknown, status: number): Response
}

type Middleware = (context: Context, next: () => Promise<void>) => Promise<Response | void>

interface App {
  post(path: string, ...handlers: (Middleware | ((context: Context) => Promise<Response>))[]): App
  fetch(request: Request): Response | Promise<Response>
}

interface Redis {
  on(event: 'error', listener: () => void): unknown
  connect(): Promise<unknown>
  destroy(): void
}

function openHono(
  { load, insert }: PeerBed,
  middleware: Middleware,
  close: () => Promise<void>,
): OpenedPeer {
  const { Hono } = load('hono') as { Hono: new () => App }
  const handler = async (context: Context): Promise<Response> => {
    await insert()
    return context.json({ to: 'Oslo' }, 201)
  }
  const app = new Hono().post('/bare', handler).post('/rides', middleware, handler)
  const post = async (path: string, headers: Record<string, string>): Promise<void> => {
    const request = new Request(`http://localhost${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: '{"to":"Oslo"}',
    })
    const response = await app.fetch(request)
    await response.text()
    if (response.status !== 201) throw new Error(`${path} answered ${String(response.status)}`)
  }
  return {
    request: (key) => post('/rides', { 'idempotency-key': key }),
    bare: () => post('/bare', {}),
    close,
  }
}

export const honoIdempotency: Peer = {
  name: 'hono-idempotency, Redis',
  folder: 'hono-idempotency',
  keepsIn: 'Redis',
  level: 'middleware: app.fetch, without a network; bare is the same application without it',
  durability:
    'The record is written to Redis behind COMMIT: a crash between leaves the rows, and the key in progress for its ' +
    'retention; a Redis that does not log each change loses records with its process, and the request runs again',
  open: async (bed) => {
    const { idempotency } = bed.load('hono-idempotency') as {
      idempotency: (options: object) => Middleware
    }
    const { redisStore } = bed.load('hono-idempotency/stores/redis') as {
      redisStore: (options: object) => object
    }
    const { createClient } = bed.load('redis') as {
      createClient: (options: { url: string }) => Redis
    }
    const client = createClient({ url: bed.redis() })
    client.on('error', () => undefined)
    await client.connect()
    const middleware = idempotency({ store: redisStore({ client }), cacheKeyPrefix: 'bench' })
    return openHono(bed, middleware, () => Promise.resolve(client.destroy()))
  },
}

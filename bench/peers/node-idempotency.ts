/** `@node-idempotency/core`: what its plugins call before and behind a handler, over its own storage adapters. */
import type { OpenedPeer, Peer, PeerBed } from '../peers.ts'

interface Request {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: unknown
}

interface Core {
  onRequest(request: Request): Promise<{ readonly body?: unknown } | undefined>
  onResponse(request: Request, response: object): Promise<void>
}

interface Adapter {
  connect(): Promise<void>
  disconnect(): Promise<void>
}

async function openOver({ load, insert }: PeerBed, adapter: Adapter): Promise<OpenedPeer> {
  const { Idempotency } = load('@node-idempotency/core') as {
    Idempotency: new (storage: Adapter) => Core
  }
  await adapter.connect()
  const idempotency = new Idempotency(adapter)
  return {
    request: async (key) => {
      const request = {
        method: 'POST',
        path: '/rides',
        headers: { 'idempotency-key': key },
        body: { to: 'Oslo' },
      }
      const stored = await idempotency.onRequest(request)
      if (stored !== undefined) return
      await insert()
      await idempotency.onResponse(request, {
        body: { to: 'Oslo' },
        additional: { statusCode: 201 },
      })
    },
    close: () => adapter.disconnect(),
  }
}

export const nodeIdempotencyRedis: Peer = {
  name: '@node-idempotency/core, Redis',
  folder: 'node-idempotency',
  keepsIn: 'Redis',
  level: 'engine: onRequest, handler, onResponse',
  durability:
    'The record is written to Redis behind COMMIT: a crash between leaves the rows, and the key in progress for its ' +
    'retention; a Redis that does not log each change loses records with its process, and the request runs again',
  open: async (bed) => {
    const { RedisStorageAdapter } = bed.load('@node-idempotency/storage-adapter-redis') as {
      RedisStorageAdapter: new (options: { url: string }) => Adapter
    }
    return await openOver(bed, new RedisStorageAdapter({ url: bed.redis() }))
  },
}

export const nodeIdempotencyPostgres: Peer = {
  name: '@node-idempotency/core, Postgres',
  folder: 'node-idempotency-postgres',
  keepsIn: 'PostgreSQL',
  level: 'engine: onRequest, handler, onResponse',
  durability:
    'The record is written in a statement of its own behind COMMIT: a crash between leaves the rows, and the key in ' +
    'progress for its retention',
  open: async (bed) => {
    const { PostgresStorageAdapter } = bed.load('@node-idempotency/storage-adapter-postgres') as {
      PostgresStorageAdapter: new (options: { poolOpts: object }) => Adapter
    }
    const poolOpts = { connectionString: await bed.database(), max: bed.pool }
    return await openOver(bed, new PostgresStorageAdapter({ poolOpts }))
  },
}

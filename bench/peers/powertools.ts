/** `@aws-lambda-powertools/idempotency`: a function made idempotent, over its cache persistence on Redis. */
import type { Peer } from '../peers.ts'

interface Client {
  connect(): Promise<Client>
  on(event: 'error', listener: () => void): unknown
  destroy(): void
}

interface Event {
  readonly key: string
  readonly to: string
}

interface Answer {
  readonly statusCode: number
  readonly body: unknown
}

interface Powertools {
  readonly IdempotencyConfig: new (options: object) => object
  makeIdempotent(
    work: (event: Event) => Promise<Answer>,
    options: object,
  ): (event: Event) => Promise<Answer>
}

/** What is left of the invocation's time, from which Powertools makes its deadline. */
const REMAINING_MS = 10_000

export const powertools: Peer = {
  name: '@aws-lambda-powertools/idempotency, Redis',
  folder: 'powertools',
  keepsIn: 'Redis',
  level: 'function: makeIdempotent, without Lambda',
  durability:
    'The record is written to Redis behind COMMIT: a crash between leaves the rows, and the request runs again ' +
    'behind its deadline; a Redis that does not log each change loses records with its process, and the request runs again',
  open: async ({ load, redis, insert }) => {
    const { IdempotencyConfig, makeIdempotent } = load(
      '@aws-lambda-powertools/idempotency',
    ) as Powertools
    const { CachePersistenceLayer } = load('@aws-lambda-powertools/idempotency/cache') as {
      CachePersistenceLayer: new (options: { client: Client }) => object
    }
    const { createClient } = load('@redis/client') as {
      createClient: (options: { url: string }) => Client
    }
    const client = createClient({ url: redis() })
    client.on('error', () => undefined)
    await client.connect()
    const book = makeIdempotent(
      async ({ to }) => {
        await insert()
        return { statusCode: 201, body: { to } }
      },
      {
        persistenceStore: new CachePersistenceLayer({ client }),
        config: new IdempotencyConfig({
          eventKeyJmesPath: 'key',
          lambdaContext: { getRemainingTimeInMillis: () => REMAINING_MS },
        }),
      },
    )
    return {
      request: async (key) => {
        const { statusCode } = await book({ key, to: 'Oslo' })
        if (statusCode !== 201) throw new Error(`answered ${String(statusCode)}`)
      },
      close: () => Promise.resolve(client.destroy()),
    }
  },
}

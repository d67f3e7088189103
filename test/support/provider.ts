/**
 * A payment provider in the test's process: honours the downstream keys it is given (the same key, the same charge),
 * remembers every request, and says of a downstream key what it charged: `GET /charges/<key>`.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'

/** One request as the provider saw it. */
export interface ProviderRequest {
  /** The downstream key. */
  readonly downstreamKey: string
  /** The key of the client's request, which the handler passes along for the tests' sake. */
  readonly key: string
  readonly attempt: number
  readonly charge: string
}

export interface Provider {
  readonly url: string
  /** What was asked on behalf of one idempotency key, in order. */
  requests(key: string): readonly ProviderRequest[]
  /** The downstream keys that came with it: each is one charge. */
  charges(key: string): ReadonlySet<string>
  close(): Promise<void>
}

/** @param latencyMs - how long a charge takes, at least */
export async function startProvider({
  latencyMs = 0,
}: { readonly latencyMs?: number } = {}): Promise<Provider> {
  const charges = new Map<string, string>()
  const log = new Map<string, ProviderRequest[]>()
  const server = createServer((req, res) => {
    if (req.method === 'GET') {
      const charge = charges.get(req.url?.split('/').at(-1) ?? '')
      res.statusCode = charge === undefined ? 404 : 200
      res.setHeader('content-type', 'application/json')
      res.end(JSON.stringify({ charge }))
      return
    }
    const chunks: Buffer[] = []
    req.on('error', () => undefined)
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      const { key, attempt } = JSON.parse(Buffer.concat(chunks).toString()) as ProviderRequest
      const downstreamKey = String(req.headers['idempotency-key'])
      const charge = charges.get(downstreamKey) ?? `charge-${randomUUID()}`
      charges.set(downstreamKey, charge)
      log.set(key, [...(log.get(key) ?? []), { downstreamKey, key, attempt, charge }])
      setTimeout(() => {
        res.setHeader('content-type', 'application/json')
        res.end(JSON.stringify({ charge }))
      }, latencyMs)
    })
  })
  // Longer than any test: a process that was stopped takes its connection up again.
  server.keepAliveTimeout = 120_000
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const requests = (key: string): readonly ProviderRequest[] => log.get(key) ?? []
  return {
    url: `http://127.0.0.1:${String(address.port)}`,
    requests,
    charges: (key) => new Set(requests(key).map(({ downstreamKey }) => downstreamKey)),
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

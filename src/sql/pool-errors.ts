/**
 * The errors of a pool's connections that nobody waits for. Without a listener they end the process: while a connection
 * is at rest, and in the instant in which it is handed over, when the pool's own listener is off and that of its new
 * holder not yet on. A packet may hold the server's "ready" and its farewell.
 */

/** What of a connection is listened to. */
export interface ErringClient {
  on(event: 'error', listener: () => void): unknown
}

/** What of a pool is listened to. */
export interface ErringPool {
  on(event: 'error', listener: () => void): unknown
  on(event: 'acquire', listener: (client: ErringClient) => void): unknown
  listenerCount(event: 'error'): number
}

const pools = new WeakSet<ErringPool>()

/** A pool without a listener gets one; so does each of its connections, for good, before it is handed over. */
export function listenToErrors(pool: ErringPool): void {
  if (pool.listenerCount('error') === 0) pool.on('error', ignore)
  if (pools.has(pool)) return
  pools.add(pool)
  const clients = new WeakSet<ErringClient>()
  pool.on('acquire', (client) => {
    if (clients.has(client)) return
    clients.add(client)
    client.on('error', ignore)
  })
}

const ignore = (): void => undefined

/** A proxy before PostgreSQL that counts what a request costs: statements, and round trips of whoever sends one by one. */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'

/** What passed. */
export interface Passed {
  /** Times that somebody sent something and waited for the answer. */
  readonly roundTrips: number
  /** Statements executed, BEGIN and COMMIT among them. */
  readonly statements: number
}

/** A running proxy. */
export interface CountingProxy {
  readonly port: number
  /** What passes while it works. */
  during(work: () => Promise<unknown>): Promise<Passed>
  close(): void
}

/** Forwards to `port` of loopback. */
export async function startCountingProxy(port: number): Promise<CountingProxy> {
  let roundTrips = 0
  let statements = 0
  const sockets = new Set<{ destroy(): void }>()
  const proxy = createServer((client) => {
    const server = connect(port, '127.0.0.1')
    for (const socket of [client, server]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        client.destroy()
        server.destroy()
      })
    }
    const executed = executions()
    let isAsking = false
    client.on('data', (chunk) => {
      if (!isAsking) roundTrips++
      isAsking = true
      statements += executed(chunk)
      server.write(chunk)
    })
    server.on('data', (chunk) => {
      isAsking = false
      client.write(chunk)
    })
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const address = proxy.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    port: address.port,
    during: async (work) => {
      const before = { roundTrips, statements }
      await work()
      return {
        roundTrips: roundTrips - before.roundTrips,
        statements: statements - before.statements,
      }
    },
    close: () => {
      proxy.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

/**
 * Counts in the bytes of one client the messages Execute and Query:
 * https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
function executions(): (chunk: Buffer) => number {
  let rest = Buffer.alloc(0)
  let isStarted = false
  return (chunk) => {
    rest = Buffer.concat([rest, chunk])
    let count = 0
    for (;;) {
      // The very first message has no type.
      const typed = isStarted ? 1 : 0
      if (rest.length < typed + 4) return count
      const length = typed + rest.readUInt32BE(typed)
      if (rest.length < length) return count
      if (isStarted && 'EQ'.includes(String.fromCharCode(rest[0] ?? 0))) count++
      isStarted = true
      rest = rest.subarray(length)
    }
  }
}

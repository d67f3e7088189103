/**
 * A TCP proxy that fails on command: refuses, cuts, goes silent, or cuts at the very bytes it is told to. Between a
 * pool and its server it makes lost acknowledgements; they cannot be had any other way.
 */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/** Where a connection is cut when the client's bytes hold the match. */
export type Cut =
  /** The server never sees them. */
  | 'before'
  /** The server gets them and acts; its answer never arrives. */
  | 'after'
  /** The same, and the server's answer has been seen. */
  | 'answered'
  /** Both connections are reset while the bytes are on their way. */
  | 'reset'
  /** The client is cut off at once, and the server gets the bytes some time later. */
  | 'late'

/** A running proxy. */
export interface TcpProxy {
  readonly port: number
  /** Connections accepted so far. */
  readonly accepted: () => number
  /** New connections are closed at once, those that are open too. */
  refuse(on: boolean): void
  /** Bytes are held in both directions: a half-open connection. */
  hold(on: boolean): void
  cutAll(): void
  /** As a host that has lost its memory: RST, not FIN. */
  resetAll(): void
  /** Connections go to another port from now on; those that are open are cut. */
  pointTo(port: number): void
  /**
   * Cuts the next connection whose client sends `match`; resolves when it has, `answered` and `late` when the server has
   * answered.
   *
   * @param lateMs - of `late`
   */
  cutNext(cut: Cut, match: string, lateMs?: number): Promise<void>
  close(): Promise<void>
}

interface Trap {
  readonly cut: Cut
  readonly match: string
  readonly lateMs: number
  readonly sprung: () => void
}

/** Cuts one connection as the trap says. */
function spring(
  { cut, lateMs, sprung }: Trap,
  client: Socket,
  server: Socket,
  chunk: Buffer,
): void {
  const answered = (): void => {
    server.once('data', () => {
      client.destroy()
      server.destroy()
    })
    server.once('close', sprung)
  }
  switch (cut) {
    case 'before':
      client.destroy()
      server.destroy()
      return sprung()
    case 'after':
      server.end(chunk) // The server reads and acts before it sees the connection close.
      client.destroy()
      return sprung()
    case 'reset':
      server.write(chunk)
      server.resetAndDestroy()
      client.resetAndDestroy()
      return sprung()
    case 'answered':
      answered()
      server.write(chunk)
      return
    case 'late':
      answered()
      client.destroy()
      setTimeout(() => server.write(chunk), lateMs)
  }
}

/** Forwards to `port` of loopback, until it is pointed elsewhere. */
export async function startTcpProxy(port: number): Promise<TcpProxy> {
  const pairs = new Set<readonly [client: Socket, server: Socket]>()
  let trap: Trap | undefined
  let refusing = false
  let holding = false
  let target = port
  let accepted = 0

  const proxy = createServer((client) => {
    accepted++
    if (refusing) {
      client.destroy()
      return
    }
    const server = connect(target, '127.0.0.1')
    const pair = [client, server] as const
    pairs.add(pair)
    const drop = (): void => {
      pairs.delete(pair)
      client.destroy()
      server.destroy()
    }
    let deaf = false
    client.on('data', (chunk) => {
      if (trap !== undefined && chunk.includes(trap.match)) {
        const sprung = trap
        trap = undefined
        deaf = true
        spring(sprung, client, server, chunk)
        return
      }
      if (!holding) server.write(chunk)
    })
    server.on('data', (chunk) => {
      if (!holding && !deaf) client.write(chunk)
    })
    for (const socket of pair) {
      socket.on('error', () => undefined)
      socket.on('close', () => {
        if (!deaf) drop()
      })
    }
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const address = proxy.address()
  if (address === null || typeof address === 'string') throw new Error('no port')

  const each = (end: (socket: Socket) => void): void => {
    for (const pair of pairs) for (const socket of pair) end(socket)
    pairs.clear()
  }
  const cutAll = (): void => each((socket) => socket.destroy())
  return {
    port: address.port,
    accepted: () => accepted,
    refuse: (on) => {
      refusing = on
      if (on) cutAll()
    },
    hold: (on) => {
      holding = on
    },
    cutAll,
    resetAll: () => each((socket) => socket.resetAndDestroy()),
    pointTo: (to) => {
      target = to
      cutAll()
    },
    cutNext: (cut, match, lateMs = 0) =>
      new Promise((sprung) => {
        trap = { cut, match, lateMs, sprung }
      }),
    close: async () => {
      cutAll()
      proxy.close()
      await once(proxy, 'close')
    },
  }
}

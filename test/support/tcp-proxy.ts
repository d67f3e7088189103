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
  /** Connections go to another port from now on; those that are open are cut. */
  pointTo(port: number): void
  /** Cuts the next connection whose client sends `match`; resolves when it has. */
  cutNext(cut: Cut, match: string): Promise<void>
  close(): Promise<void>
}

interface Trap {
  readonly cut: Cut
  readonly match: string
  readonly sprung: () => void
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
        const { cut, sprung } = trap
        trap = undefined
        deaf = true
        // `after`: end() lets the server read and act before it sees the connection close.
        if (cut === 'after') server.end(chunk)
        client.destroy()
        if (cut === 'before') server.destroy()
        sprung()
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

  const cutAll = (): void => {
    for (const pair of pairs) for (const socket of pair) socket.destroy()
    pairs.clear()
  }
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
    pointTo: (to) => {
      target = to
      cutAll()
    },
    cutNext: (cut, match) =>
      new Promise((sprung) => {
        trap = { cut, match, sprung }
      }),
    close: async () => {
      cutAll()
      proxy.close()
      await once(proxy, 'close')
    },
  }
}

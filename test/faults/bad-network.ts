/**
 * A network between a pool and its server that is slow, or lets nothing through in one direction, or loses a host without
 * a word. What is late arrives in order, as TCP has it.
 */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

export type Direction = 'to_server' | 'to_client'

/** A running one. */
export interface BadNetwork {
  readonly port: number
  /** Everything is late by up to so many milliseconds, drawn for each packet. 0: nothing is. */
  jitter(maxMs: number): void
  /** What goes in that direction waits until there is no black hole any more; connections stay open. */
  blackHole(direction: Direction | undefined): void
  /** The server's ends are closed at once, and the clients hear of it so many milliseconds later. */
  closeSlowly(ms: number): Promise<void>
  /** Both ends of all connections are reset. */
  reset(): void
  /** Bytes that were late, or waited. */
  readonly late: () => number
  close(): Promise<void>
}

/** @param random - in [0, 1) */
export async function startBadNetwork(port: number, random: () => number): Promise<BadNetwork> {
  const pairs = new Set<readonly [client: Socket, server: Socket]>()
  let maxMs = 0
  let late = 0
  let hole: { readonly direction: Direction; readonly over: Promise<void> } | undefined
  let fill = (): void => undefined

  const forward = (from: Socket, to: Socket, direction: Direction): void => {
    let arrived = Promise.resolve()
    let queued = 0
    from.on('data', (chunk) => {
      const waits = maxMs > 0 || hole?.direction === direction
      if (!waits && queued === 0) {
        to.write(chunk)
        return
      }
      queued++
      late += chunk.length
      const delayMs = random() * maxMs
      arrived = arrived.then(async () => {
        await pause(delayMs)
        if (hole?.direction === direction) await hole.over
        to.write(chunk)
        queued--
      })
    })
  }
  const proxy = createServer((client) => {
    const server = connect(port, '127.0.0.1')
    const pair = [client, server] as const
    pairs.add(pair)
    forward(client, server, 'to_server')
    forward(server, client, 'to_client')
    for (const socket of pair) {
      socket.on('error', () => undefined)
      socket.on('close', () => {
        if (!pairs.delete(pair)) return
        for (const one of pair) one.destroy()
      })
    }
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const address = proxy.address()
  if (address === null || typeof address === 'string') throw new Error('no port')

  const takeAll = (): readonly (readonly [client: Socket, server: Socket])[] => {
    const all = [...pairs]
    pairs.clear()
    return all
  }
  const blackHole = (direction: Direction | undefined): void => {
    fill()
    hole = undefined
    fill = () => undefined
    if (direction === undefined) return
    const over = new Promise<void>((resolve) => {
      fill = resolve
    })
    hole = { direction, over }
  }
  const reset = (): void => {
    for (const pair of takeAll()) for (const socket of pair) socket.resetAndDestroy()
  }
  return {
    port: address.port,
    late: () => late,
    jitter: (ms) => {
      maxMs = ms
    },
    blackHole,
    reset,
    closeSlowly: async (ms) => {
      const all = takeAll()
      for (const [, server] of all) server.destroy()
      await pause(ms)
      for (const [client] of all) client.destroy()
    },
    close: async () => {
      blackHole(undefined)
      reset()
      proxy.close()
      await once(proxy, 'close')
    },
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

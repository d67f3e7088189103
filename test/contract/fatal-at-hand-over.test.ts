/**
 * Goal: a server that ends a session in the very instant its connection is handed over does not end the process. Method:
 * a proxy puts FATAL behind the first "ready for query", in one packet: it is read before whoever awaits the connection
 * goes on.
 */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import pg from 'pg'
import { expect, inject, onTestFinished, test } from 'vitest'
import { pgStore } from '../../src/databases/pg.ts'
import { createIdempotency } from '../../src/index.ts'
import { bounded } from '../support/api-process.ts'

const READY = Buffer.from([0x5a, 0, 0, 0, 5, 0x49])
const FATAL = fatal({ S: 'FATAL', V: 'FATAL', C: '57P01', M: 'terminating connection' })

test('44 · a session that is ended as its connection is handed over → the stage is tried again on another', async () => {
  const { at, spoilt } = await endingSessions(inject('postgresUrl'))
  const pool = new pg.Pool({ connectionString: at, maxUses: 1 }) // The claim has one of its own.
  onTestFinished(() => pool.end())
  const idempotency = createIdempotency({ store: pgStore(pool) })
  const request = { operation: 'o', scope: 'fatal', key: crypto.randomUUID(), input: null }
  const result = await idempotency.run(request, (_, run) =>
    run.finish(async (tx) => {
      await tx.query('select 1')
      return { status: 201 }
    }),
  )
  expect(result).toMatchObject({ kind: 'finished', outcome: { status: 201 } })
  expect(spoilt()).toBe(1)
})

/** Ends the second session so. */
async function endingSessions(url: string) {
  let sessions = 0
  let spoilt = 0
  const proxy = createServer((client) => {
    const server = connect(Number(new URL(url).port), '127.0.0.1')
    let handedOver = false
    client.pipe(server)
    server.on('data', (chunk) => {
      const isHandedOver = !handedOver && chunk.subarray(-READY.length).equals(READY)
      handedOver ||= isHandedOver
      if (!isHandedOver || ++sessions !== 2) {
        client.write(chunk)
        return
      }
      spoilt++
      client.end(Buffer.concat([chunk, FATAL]))
      server.destroy()
    })
    for (const socket of [client, server]) socket.on('error', () => undefined)
  })
  proxy.listen(0, '127.0.0.1')
  await bounded('the proxy to listen', 5_000, once(proxy, 'listening'))
  onTestFinished(() => void proxy.close())
  const address = proxy.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const through = new URL(url)
  through.port = String(address.port)
  return { at: through.href, spoilt: () => spoilt }
}

function fatal(fields: Readonly<Record<string, string>>): Buffer {
  const text = Object.entries(fields).map(([field, value]) => `${field}${value}\0`)
  const body = Buffer.from(`${text.join('')}\0`)
  const head = Buffer.alloc(5)
  head.write('E')
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

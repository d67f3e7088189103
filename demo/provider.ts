/**
 * A payment provider, as they are: one charge for each idempotency key, however often it is asked. It has no idea of
 * Pawl, and nobody kills it.
 */
import { createServer } from 'node:http'
import { endWithDirector, setting, tell } from './child.ts'

interface Charge {
  readonly id: string
  readonly amount: number
}

/** Planted by the demo's own test, to see that the demo notices. */
const ignoresKeys = process.env['PAWL_DEMO_DEFECT'] === 'provider-ignores-keys'

const charges: Charge[] = []
const byKey = new Map<string, Charge>()
const calls: string[] = []

function charge(key: string, amount: number): Charge {
  calls.push(key)
  const earlier = ignoresKeys ? undefined : byKey.get(key)
  const made = earlier ?? { id: `ch_${charges.length + 1}`, amount }
  if (earlier === undefined) charges.push(made)
  byKey.set(key, made)
  tell({ type: 'charge', key, charge: made.id, known: earlier !== undefined })
  return made
}

const server = createServer((req, res) => {
  const answer = (status: number, body: unknown): void => {
    res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  }
  if (req.method === 'GET') return answer(200, { charges, calls })
  let text = ''
  req.setEncoding('utf8')
  req.on('data', (chunk: string) => (text += chunk))
  req.on('end', () => {
    const key = req.headers['idempotency-key']
    if (typeof key !== 'string') return answer(400, { error: 'Idempotency-Key is missing' })
    const { amount } = JSON.parse(text) as { amount: number }
    answer(201, charge(key, amount))
  })
})

server.listen(Number(setting('DEMO_PORT')), '127.0.0.1', () => {
  const address = server.address()
  if (typeof address === 'object' && address !== null)
    tell({ type: 'listening', port: address.port })
})
endWithDirector(async () => {
  server.closeAllConnections()
  server.close()
})

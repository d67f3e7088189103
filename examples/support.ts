/** What the examples share: a port to listen on, and a client that prints what it was answered. */
import { once } from 'node:events'
import type { AddressInfo, Server } from 'node:net'
import { startPostgres } from '../test/support/postgres.ts'

/** Listens on a free port of loopback. */
export async function listen(app: {
  listen(port: number, host: string): unknown
}): Promise<Server> {
  const server = app.listen(0, '127.0.0.1') as Server
  await once(server, 'listening')
  return server
}

/** What came back. */
export interface Answered {
  readonly status: number
  /** Status, body (a problem's code), and whether it was a replay. */
  readonly line: string
}

/** Posts JSON, with a key where one is given. */
export async function post(
  server: Server,
  path: string,
  key: string | undefined,
  body: object,
): Promise<Answered> {
  const { port } = server.address() as AddressInfo
  const response = await fetch(`http://127.0.0.1:${String(port)}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(key && { 'idempotency-key': `"${key}"` }) },
    body: JSON.stringify(body),
  })
  const text = await response.text()
  const isProblem = response.headers.get('content-type')?.includes('problem+json') === true
  const said = isProblem ? (JSON.parse(text) as { code: string }).code : text
  const replayed = response.headers.get('idempotent-replayed') === 'true' ? ' (replayed)' : ''
  return { status: response.status, line: `${String(response.status)} ${said}${replayed}` }
}

/** The user's own PostgreSQL, or one of npm's in a temporary folder. */
export async function database(): Promise<{ url: string; stop: () => Promise<void> }> {
  const own = process.env['DATABASE_URL']
  if (own !== undefined) return { url: own, stop: () => Promise.resolve() }
  const server = await startPostgres()
  return { url: server.url, stop: () => server.remove() }
}

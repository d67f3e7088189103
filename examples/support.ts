/** What the examples share: a port to listen on, and a client that prints what it was answered. */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo, Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startMariaDb } from '../test/support/mariadb.ts'
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

/** Each kind of database: where it is, and how it ends. */
export const ENGINES: Readonly<
  Record<'postgres' | 'mariadb' | 'sqlite', () => ReturnType<typeof database>>
> = {
  postgres: database,
  mariadb: async () => {
    const server = await startMariaDb()
    return { url: server.url, stop: () => server.remove() }
  },
  sqlite: () => {
    const folder = mkdtempSync(join(tmpdir(), 'pawl-example-'))
    const stop = (): Promise<void> => Promise.resolve(rmSync(folder, { recursive: true }))
    return Promise.resolve({ url: join(folder, 'rides.db'), stop })
  },
}

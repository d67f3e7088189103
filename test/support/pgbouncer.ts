/**
 * A real PgBouncer in transaction mode for tests: Debian's, in front of a PostgreSQL, on loopback, on a free port. npm
 * carries none; `.ci/run` installs it.
 */
import { spawn } from 'node:child_process'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from './postgres.ts'
import { ended, identity, ready, serverFolder } from './server-process.ts'

const READY_MS = 20_000
const BINARIES = ['/usr/sbin/pgbouncer', '/usr/local/bin/pgbouncer']
/** Fewer than the clients of a test, so that they share; enough for the stages that are open at one time. */
const SERVER_CONNECTIONS = 20

/** A running PgBouncer. */
export interface PgBouncer {
  /** The same database and user, through it. */
  readonly url: string
  /** Its own console, where SHOW POOLS is answered. */
  readonly consoleUrl: string
  stop(): Promise<void>
}

/** Whether it is installed. */
export function hasPgBouncer(): boolean {
  return BINARIES.some((path) => existsSync(path))
}

/**
 * @param url - of the PostgreSQL behind it
 * @param more - settings of its own, `name = value`
 * @throws it is not installed, or did not start; says what to do
 */
export async function startPgBouncer(
  url: string,
  more: readonly string[] = [],
): Promise<PgBouncer> {
  const binary = BINARIES.find((path) => existsSync(path))
  if (binary === undefined)
    throw new Error('PgBouncer is missing: apt-get install --no-install-recommends pgbouncer')
  const server = new URL(url)
  const folder = serverFolder('pgbouncer')
  const port = await freePort()
  const login = [
    `host=${server.hostname} port=${server.port === '' ? '5432' : server.port}`,
    `user=${decodeURIComponent(server.username)}`,
    ...(server.password === '' ? [] : [`password=${decodeURIComponent(server.password)}`]),
  ]
  const settings = [
    '[databases]',
    `* = ${login.join(' ')}`,
    '[pgbouncer]',
    'pool_mode = transaction',
    'auth_type = any',
    'listen_addr = 127.0.0.1',
    `listen_port = ${String(port)}`,
    'unix_socket_dir =',
    'max_client_conn = 500',
    `default_pool_size = ${String(SERVER_CONNECTIONS)}`,
    ...more,
  ]
  const file = join(folder, 'pgbouncer.ini')
  writeFileSync(file, `${settings.join('\n')}\n`)
  const running = spawn(binary, [file], {
    ...identity(),
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const end = (): void => void running.kill('SIGKILL')
  process.on('exit', end)
  await ready(running, { server: 'PgBouncer', says: 'process up', withinMs: READY_MS })
  const through = new URL(url)
  through.host = `127.0.0.1:${String(port)}`
  const console = new URL(through)
  console.pathname = '/pgbouncer'
  return {
    url: through.href,
    consoleUrl: console.href,
    stop: async () => {
      process.off('exit', end)
      await ended(running, 'SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

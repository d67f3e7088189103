/**
 * A real MariaDB for tests and benchmarks: Debian's server on data of its own in a temporary folder, on loopback, on a
 * free port. npm carries none; `.ci/run` installs it.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from './postgres.ts'
import { ended, identity, ready, serverFolder } from './server-process.ts'

const READY_MS = 60_000
const SERVERS = ['/usr/sbin/mariadbd', '/usr/local/sbin/mariadbd', '/usr/libexec/mariadbd']

/** A running server. */
export interface MariaDb {
  readonly url: string
  readonly port: number
  /** The folder of its data. */
  readonly data: string
  /** SIGTERM ends sessions; SIGKILL is a crash that recovers at the start. */
  stop(how?: 'SIGTERM' | 'SIGKILL'): Promise<void>
  /** Starts it again, on the same port and data. */
  start(): Promise<void>
  /** Stops it for good and deletes its folder. */
  remove(): Promise<void>
}

/** Whether it is installed. */
export function hasMariaDb(): boolean {
  return SERVERS.some((path) => existsSync(path))
}

/** How a server is started. */
export interface MariaDbOptions {
  /** Flags of the command line, beside those that every server gets. */
  readonly settings?: readonly string[]
  /** Makes the folder of the data, instead of `mariadb-install-db`. */
  readonly populate?: (data: string) => void
}

/** @throws the server is not installed, or did not start; says what to do */
export async function startMariaDb({
  settings = [],
  populate,
}: MariaDbOptions = {}): Promise<MariaDb> {
  const binary = SERVERS.find((path) => existsSync(path))
  if (binary === undefined)
    throw new Error('MariaDB is missing: apt-get install --no-install-recommends mariadb-server')
  const ids = identity()
  const folder = serverFolder('mariadb')
  const data = join(folder, 'data')
  if (populate === undefined) installed(data, folder)
  else populate(data)
  const port = await freePort()
  const args = [
    '--no-defaults',
    `--datadir=${data}`,
    `--tmpdir=${folder}`,
    `--socket=${join(folder, 'socket')}`,
    `--pid-file=${join(folder, 'pid')}`,
    `--port=${String(port)}`,
    '--bind-address=127.0.0.1',
    '--skip-name-resolve',
    '--max-connections=300',
    ...settings,
  ]
  let server: ChildProcess | undefined
  const end = (): void => void server?.kill('SIGKILL')
  const running: MariaDb = {
    url: `mysql://root@127.0.0.1:${String(port)}/test`,
    port,
    data,
    start: async () => {
      server = spawn(binary, args, { ...ids, cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] })
      await ready(server, {
        server: 'MariaDB',
        says: 'ready for connections',
        withinMs: READY_MS,
      })
    },
    stop: async (how = 'SIGTERM') => {
      const stopping = server
      server = undefined
      if (stopping !== undefined) await ended(stopping, how)
    },
    remove: async () => {
      process.off('exit', end)
      await running.stop('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
  process.on('exit', end)
  await running.start()
  return running
}

/** Makes the folder of the data of a server that has never run. */
function installed(data: string, folder: string): void {
  const made = spawnSync(
    'mariadb-install-db',
    // A folder of its own: a server that starts deletes the temporary tables of others in /tmp.
    [
      '--no-defaults',
      `--datadir=${data}`,
      `--tmpdir=${folder}`,
      '--auth-root-authentication-method=normal',
    ],
    { ...identity(), cwd: folder, encoding: 'utf8', env: { ...process.env, HOME: folder } },
  )
  if (made.status !== 0)
    throw new Error(`mariadb-install-db failed: ${made.error?.message ?? ''} ${made.stderr}`)
}

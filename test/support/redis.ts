/**
 * A real Redis for tests: Debian's server with data of its own in a temporary folder, on loopback, on free ports; one, or
 * a cluster of three. npm carries none; `.ci/run` installs it.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './postgres.ts'

const READY_MS = 20_000
const CLUSTER_MS = 30_000
const SERVERS = ['/usr/bin/redis-server', '/usr/local/bin/redis-server']

/** A running server, or several. */
export interface Redis {
  readonly ports: readonly number[]
  /** Asks the first one, as `redis-cli` does. */
  cli(...args: string[]): string
  /** SIGKILL; the next start finds what was written. */
  kill(): Promise<void>
  start(): Promise<void>
  /** Stops it for good and deletes its folder. */
  remove(): Promise<void>
}

/** Whether it is installed. */
export function hasRedis(): boolean {
  return SERVERS.some((path) => existsSync(path))
}

/** One server that writes every change to disk before it answers. */
export async function startRedis(): Promise<Redis> {
  const port = await redisPort()
  return await running([port], ['--appendonly', 'yes', '--appendfsync', 'always'])
}

/** A cluster of three primaries. */
export async function startRedisCluster(): Promise<Redis> {
  const ports = [await redisPort(), await redisPort(), await redisPort()]
  const cluster = await running(ports, [
    ...['--appendonly', 'yes', '--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf'],
    ...['--cluster-node-timeout', '2000'],
  ])
  const hosts = ports.map((port) => `127.0.0.1:${String(port)}`)
  execFileSync('redis-cli', ['--cluster', 'create', ...hosts, '--cluster-yes'])
  const deadline = performance.now() + CLUSTER_MS
  while (!cluster.cli('cluster', 'info').includes('cluster_state:ok')) {
    if (performance.now() > deadline) throw new Error('the cluster of Redis did not form')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return cluster
}

/** The bus of a cluster listens 10,000 ports above. */
async function redisPort(): Promise<number> {
  for (;;) {
    const port = await freePort()
    if (port < 55_000) return port
  }
}

async function running(ports: readonly number[], settings: readonly string[]): Promise<Redis> {
  const binary = SERVERS.find((path) => existsSync(path))
  if (binary === undefined)
    throw new Error('Redis is missing: apt-get install --no-install-recommends redis-server')
  const folder = mkdtempSync(join(tmpdir(), 'pawl-redis-'))
  const servers = new Map<number, ChildProcess>()
  const end = (): void => {
    for (const server of servers.values()) server.kill('SIGKILL')
  }
  const startOne = async (port: number): Promise<void> => {
    const data = join(folder, String(port))
    execFileSync('mkdir', ['-p', data])
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', data, '--save', '']
    const server = spawn(binary, [...args, ...settings], { stdio: ['ignore', 'pipe', 'pipe'] })
    servers.set(port, server)
    await ready(server)
  }
  const redis: Redis = {
    ports,
    cli: (...args) =>
      execFileSync('redis-cli', ['-p', String(ports[0]), ...args], { encoding: 'utf8' }),
    start: async () => {
      await Promise.all(ports.map(startOne))
    },
    kill: async () => {
      const ended = [...servers.values()].map(async (server) => {
        if (server.exitCode !== null || server.signalCode !== null) return
        const exited = once(server, 'exit')
        server.kill('SIGKILL')
        await exited
      })
      await Promise.all(ended)
    },
    remove: async () => {
      process.off('exit', end)
      await redis.kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
  process.on('exit', end)
  await redis.start()
  return redis
}

async function ready(server: ChildProcess): Promise<void> {
  let log = ''
  await new Promise<void>((resolve, reject) => {
    const late = setTimeout(
      () => reject(new Error(`Redis was not ready in time:\n${log}`)),
      READY_MS,
    )
    server.stdout?.on('data', (chunk: Buffer) => {
      log = (log + chunk.toString()).slice(-4_000)
      if (!log.includes('Ready to accept connections')) return
      clearTimeout(late)
      resolve()
    })
    server.once('exit', (code) => {
      clearTimeout(late)
      reject(new Error(`Redis ended with ${String(code)}:\n${log}`))
    })
  })
}

/** The engines under `--only engines`, with the libraries of each; and how those without SQL are asked. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { ClaimInput } from 'pawl'
import type { Engine, Library, Opened } from './engines.ts'
import { runFolder, runMariaDb, runNothing, runPostgres, runRedis } from './servers.ts'
import {
  openBetterSqlite3,
  openLibsql,
  openMariadb,
  openMysql2,
  openNodeSqlite,
  openPg,
  openPglite,
  openPostgresJs,
} from './sql-libraries.ts'

/** As many claims are kept in memory, and no more: nobody reaps there. */
const KEPT_MAX = 100_000

/** The fields of a record, as Pawl keeps them in a hash. Without its end, which takes a second command. */
function fieldsOf(claim: ClaimInput): Record<string, string> {
  const now = Date.now()
  return {
    state: 'running',
    fingerprint: claim.fingerprint,
    owner: claim.owner,
    attempt: '1',
    revision: '0',
    recovery_point: 'started',
    stages: '{}',
    request_method: claim.method ?? '',
    request_path: claim.path ?? '',
    created_at: String(now),
    locked_until: String(now + claim.leaseMs),
    expires_at: String(now + claim.retentionMs),
    scope: claim.scope,
    operation: claim.operation,
    idempotency_key: claim.key,
  }
}

async function openNodeRedis(url: string): Promise<Opened> {
  const [{ createClient }, { redisStore }] = [await import('redis'), await import('pawl/redis')]
  const client = createClient({ url })
  client.on('error', () => undefined)
  await client.connect()
  const store = redisStore(client)
  await store.migrate()
  return {
    bare: 'HSET',
    claims: {
      claim: (claim) => store.claim(claim),
      insert: (claim) => client.hSet(`bare:${claim.id}`, fieldsOf(claim)),
    },
    close: () => Promise.resolve(client.destroy()),
  }
}

async function openIoredis(url: string): Promise<Opened> {
  const [{ Redis }, { redisStore }] = [await import('ioredis'), await import('pawl/redis')]
  const client = new Redis(url)
  client.on('error', () => undefined)
  const store = redisStore(client)
  await store.migrate()
  return {
    bare: 'HSET',
    claims: {
      claim: (claim) => store.claim(claim),
      insert: (claim) => client.hset(`bare:${claim.id}`, fieldsOf(claim)),
    },
    close: () => Promise.resolve(client.disconnect()),
  }
}

async function openMemory(): Promise<Opened> {
  const { memoryStore } = await import('pawl/memory')
  // It refuses to start in production, where nobody has use for it.
  const { NODE_ENV } = process.env
  delete process.env['NODE_ENV']
  const store = memoryStore()
  if (NODE_ENV !== undefined) process.env['NODE_ENV'] = NODE_ENV
  const rows = new Map<string, ClaimInput>()
  let claimed = 0
  return {
    bare: 'Map.set',
    claims: {
      claim: (claim) => {
        if (++claimed % KEPT_MAX === 0) store.clear()
        return store.claim(claim)
      },
      insert: (claim) => {
        if (rows.size === KEPT_MAX) rows.clear()
        return rows.set(claim.id, { ...claim })
      },
    },
    close: () => Promise.resolve(store.clear()),
  }
}

/** @param packaged - of npm, by which its version is known; Node's own otherwise */
function library(name: string, packaged: string | undefined, open: Library['open']): Library {
  const version = (): string => {
    if (packaged === undefined) return process.version
    const url = new URL(`../node_modules/${packaged}/package.json`, import.meta.url)
    const { version } = JSON.parse(readFileSync(fileURLToPath(url), 'utf8')) as { version: string }
    return `${packaged} ${version}`
  }
  return { name, version, open }
}

/** In the order in which they are measured and shown. */
export const ENGINES: readonly Engine[] = [
  {
    name: 'PostgreSQL 18',
    start: runPostgres,
    libraries: [
      library('pawl/pg', 'pg', (url) => openPg(url, false)),
      library('pawl/pg, pipelined', 'pg', (url) => openPg(url, true)),
      library('pawl/postgres', 'postgres', openPostgresJs),
    ],
  },
  {
    name: 'PGlite',
    start: runFolder,
    libraries: [library('pawl/pglite', '@electric-sql/pglite', openPglite)],
  },
  {
    name: 'MariaDB 10.11',
    start: runMariaDb,
    libraries: [
      library('pawl/mysql2', 'mysql2', openMysql2),
      library('pawl/mariadb', 'mariadb', openMariadb),
    ],
  },
  {
    name: 'SQLite',
    start: runFolder,
    libraries: [
      library('pawl/better-sqlite3', 'better-sqlite3', openBetterSqlite3),
      library('pawl/libsql', 'libsql', openLibsql),
      library('pawl/node-sqlite', undefined, openNodeSqlite),
    ],
  },
  {
    name: 'Redis 7',
    start: () => runRedis(),
    libraries: [
      library('pawl/redis, node-redis', 'redis', openNodeRedis),
      library('pawl/redis, ioredis', 'ioredis', openIoredis),
    ],
  },
  {
    name: 'memory',
    start: runNothing,
    libraries: [library('pawl/memory', undefined, openMemory)],
  },
]

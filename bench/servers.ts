/** The servers under `--only engines`, each with the durability that its makers ship, and what it says of it. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import mysql2 from 'mysql2/promise'
import pg from 'pg'
import { startMariaDb } from '../test/support/mariadb.ts'
import { startPostgres } from '../test/support/postgres.ts'
import { startRedis } from '../test/support/redis.ts'
import type { Running } from './engines.ts'
import type { RedisMode } from './redis-beside.ts'

/** Makes an empty database of PostgreSQL and gives its URL. */
export async function postgresDatabase(url: string, name: string): Promise<string> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(`create database ${name}`)
  await client.end()
  return Object.assign(new URL(url), { pathname: `/${name}` }).toString()
}

/** What PostgreSQL says of each setting. */
export async function postgresSettings(
  url: string,
  names: readonly string[],
): Promise<Record<string, string>> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const said: Record<string, string> = {}
  for (const name of names) {
    const { rows } = await client.query<Record<string, string>>(`show ${name}`)
    said[name] = String(rows[0]?.[name])
  }
  await client.end()
  return said
}

export async function runPostgres(): Promise<Running> {
  const server = await startPostgres()
  const names = numbered('bench')
  return {
    settings: await postgresSettings(server.url, [
      'server_version',
      'fsync',
      'synchronous_commit',
      'full_page_writes',
    ]),
    database: () => postgresDatabase(server.url, names()),
    remove: () => server.remove(),
  }
}

export async function runMariaDb(): Promise<Running> {
  const server = await startMariaDb()
  const client = await mysql2.createConnection(server.url)
  const settings: Record<string, string> = {}
  for (const name of [
    'version',
    'innodb_flush_log_at_trx_commit',
    'innodb_doublewrite',
    'log_bin',
  ]) {
    const [rows] = await client.query(`select @@${name} as said`)
    settings[name] = String((rows as { said: unknown }[])[0]?.said)
  }
  const names = numbered('bench')
  return {
    settings,
    database: async () => {
      const name = names()
      await client.query(`create database ${name}`)
      return server.url.replace(/\/test$/, `/${name}`)
    },
    remove: async () => {
      await client.end()
      await server.remove()
    },
  }
}

/** @param mode - `shipped`: the snapshots and the log of changes are as by default, which is to have no log */
export async function runRedis(mode: RedisMode = 'durable'): Promise<Running> {
  const server = await startRedis()
  if (mode === 'shipped') {
    server.cli('config', 'set', 'appendonly', 'no')
    server.cli('config', 'set', 'save', '3600 1 300 100 60 10000')
  }
  const said = (name: string): string =>
    server.cli('config', 'get', name).trim().split('\n')[1] ?? ''
  const version = /redis_version:(\S+)/.exec(server.cli('info', 'server'))?.[1] ?? ''
  return {
    settings: {
      redis_version: version,
      appendonly: said('appendonly'),
      appendfsync: said('appendfsync'),
      save: said('save') || 'never',
    },
    database: () => {
      server.cli('flushall')
      return Promise.resolve(`redis://127.0.0.1:${String(server.ports[0])}`)
    },
    remove: () => server.remove(),
  }
}

/** For what runs inside the process, and keeps files. */
export async function runFolder(): Promise<Running> {
  const folder = mkdtempSync(join(tmpdir(), 'pawl-bench-'))
  const names = numbered('data')
  return {
    settings: {},
    database: () => {
      const path = join(folder, names())
      mkdirSync(path)
      return Promise.resolve(path)
    },
    remove: () => Promise.resolve(rmSync(folder, { recursive: true, force: true })),
  }
}

/** For what keeps nothing. */
export async function runNothing(): Promise<Running> {
  return {
    settings: {},
    database: () => Promise.resolve(''),
    remove: () => Promise.resolve(),
  }
}

function numbered(name: string): () => string {
  let count = 0
  return () => `${name}_${String(++count)}`
}

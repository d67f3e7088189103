/**
 * One PostgreSQL and one MariaDB for the whole run: the default table is migrated, and a table takes the effects of
 * handlers.
 */
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { pgStore } from '../../src/databases/pg.ts'
import { elsewhere } from './elsewhere.ts'
import { hasGalera } from './galera.ts'
import { hasMariaDb, startMariaDb } from './mariadb.ts'
import { hasPgBouncer } from './pgbouncer.ts'
import { startPostgres } from './postgres.ts'
import { hasRedis } from './redis.ts'

declare module 'vitest' {
  interface ProvidedContext {
    postgresUrl: string
    /** Empty: it is not installed, and what needs it was left out, which is said. */
    mariaDbUrl: string
  }
}

/** What is said of a server that is not there. */
const leftOut = (server: string, what: string, debian: string): string => `
${server} is not installed: what runs on it is LEFT OUT (${what}).
To run it: apt-get install --no-install-recommends ${debian}
`

/** CI: a server that is missing fails the run. */
export function isPromised(): boolean {
  return process.env['PAWL_TEST_ENGINES'] === 'all'
}

/** Started by vitest before the first file; what it returns runs after the last. */
export default async function setup(
  project: TestProject,
): Promise<(() => Promise<void>) | undefined> {
  const given = elsewhere()
  if (given !== undefined) {
    project.provide('postgresUrl', given.engine === 'postgres' ? given.url : '')
    project.provide('mariaDbUrl', given.engine === 'mysql' ? given.url : '')
    return undefined
  }
  const withMariaDb = isPromised() || hasMariaDb()
  if (!withMariaDb)
    console.warn(
      leftOut('MariaDB', 'test/contract/mysql*, the stores of the suite on it', 'mariadb-server'),
    )
  if (!isPromised() && !hasRedis())
    console.warn(leftOut('Redis', 'test/contract/redis*', 'redis-server'))
  if (!isPromised() && !hasGalera())
    console.warn(leftOut('Galera', 'test/contract/galera-suite.test.ts', 'mariadb-server galera-4'))
  if (!isPromised() && !hasPgBouncer())
    console.warn(leftOut('PgBouncer', 'test/contract/cluster-suite.test.ts', 'pgbouncer'))
  const [postgres, mariaDb] = await Promise.all([
    startPostgres(),
    withMariaDb ? startMariaDb() : undefined,
  ])
  const pool = new pg.Pool({ connectionString: postgres.url })
  await pgStore(pool).migrate()
  // No unique constraint: it would hide the very thing that is tested for.
  await pool.query(
    `create table effects (
       scope text not null, idempotency_key text not null, stage text not null, attempt int not null, note text,
       at timestamptz not null default clock_timestamp())`,
  )
  await pool.query('create index on effects (scope, idempotency_key)')
  await pool.end()
  project.provide('postgresUrl', postgres.url)
  project.provide('mariaDbUrl', mariaDb?.url ?? '')
  return async () => {
    await Promise.all([postgres.remove(), mariaDb?.remove()])
  }
}

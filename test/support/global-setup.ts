/** One PostgreSQL for the whole run: the default table is migrated, and a table takes the effects of handlers. */
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { pgStore } from '../../src/databases/pg.ts'
import { startPostgres } from './postgres.ts'

declare module 'vitest' {
  interface ProvidedContext {
    postgresUrl: string
  }
}

/** Started by vitest before the first file; what it returns runs after the last. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const postgres = await startPostgres()
  const pool = new pg.Pool({ connectionString: postgres.url })
  await pgStore(pool).migrate()
  // No unique constraint: it would hide the very thing that is tested for.
  await pool.query(
    `create table effects (
       scope text not null, key text not null, stage text not null, attempt int not null, note text,
       at timestamptz not null default clock_timestamp())`,
  )
  await pool.query('create index on effects (scope, key)')
  await pool.end()
  project.provide('postgresUrl', postgres.url)
  return () => postgres.remove()
}

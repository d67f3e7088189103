/**
 * Brings the table to this version, and says what is wrong with it. One transaction a step under an advisory lock: of
 * many processes that start at once, one migrates and the others find it done.
 */
import { ConfigError, StoreNotMigratedError } from '../core/errors.ts'
import type { StoreProblem } from '../core/store.ts'
import type { Database } from './database.ts'
import type { Dialect } from './dialect.ts'
import { number, text } from './rows.ts'

/** What both need. */
export interface MigrationContext<Tx, Isolation extends string> {
  readonly database: Database<Tx, Isolation>
  readonly dialect: Dialect
  /** The quoted name. */
  readonly table: string
}

/** @throws {@link ConfigError} a table of that name is there and is not Pawl's, or a newer Pawl has been here */
export async function migrate<Tx, Isolation extends string>(
  context: MigrationContext<Tx, Isolation>,
): Promise<void> {
  const { database, dialect, table } = context
  const texts = dialect.migrationStatements(table)
  await database.transaction({ isolation: undefined }, async (tx) => {
    const run = (statement: string, values: readonly unknown[] = []) =>
      database.within(tx, { text: statement, values })
    await run(texts.lock)
    await run(texts.limitLockWait)
    await run(texts.createVersions)
    const done = (await run(texts.versions)).map((row) => number(row, 'version'))
    if (done.length === 0 && (await run(texts.tableExists)).length > 0) {
      throw new ConfigError(
        `table ${table} exists and was not made by Pawl; give the store another name with the option "table".`,
      )
    }
    const steps = dialect.migrations(table)
    for (const { version, statements } of steps) {
      if (done.includes(version)) continue
      for (const statement of statements) await run(statement)
      await run(texts.addVersion, [version])
    }
    return { value: undefined }
  })
}

/** What is wrong with table, server and settings. */
export async function check<Tx, Isolation extends string>(
  context: MigrationContext<Tx, Isolation>,
): Promise<readonly StoreProblem[]> {
  const { database, dialect, table } = context
  const problems = await database.query({ text: dialect.check(table), values: [] })
  const found = problems.map((row) => ({ code: text(row, 'code'), message: text(row, 'message') }))
  const missing = await missingVersions(context)
  if (missing === undefined) return [...found, notMigrated(table, 'is not there')]
  if (missing.length > 0)
    return [...found, notMigrated(table, `lacks version ${missing.join(', ')}`)]
  return found
}

async function missingVersions<Tx, Isolation extends string>(
  context: MigrationContext<Tx, Isolation>,
): Promise<readonly number[] | undefined> {
  const { database, dialect, table } = context
  const texts = dialect.migrationStatements(table)
  try {
    const there = await database.query({ text: texts.tableExists, values: [] })
    if (there.length === 0) return undefined
    const done = (await database.query({ text: texts.versions, values: [] })).map((row) =>
      number(row, 'version'),
    )
    return dialect
      .migrations(table)
      .flatMap(({ version }) => (done.includes(version) ? [] : [version]))
  } catch (error) {
    if (dialect.failureOf(error) === 'not_migrated') return undefined
    throw error
  }
}

function notMigrated(table: string, why: string): StoreProblem {
  const { message } = new StoreNotMigratedError(table, why)
  return { code: 'not_migrated', message }
}

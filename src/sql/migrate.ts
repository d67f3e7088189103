/**
 * Brings the table to this version, and says what is wrong with it. One transaction a step under an advisory lock: of
 * many processes that start at once, one migrates and the others find it done.
 */
import { ConfigError, StoreNotMigratedError } from '../core/errors.ts'
import type { StoreProblem } from '../core/store.ts'
import type { Database, Rows, Statement } from './database.ts'
import type { AddColumn, Dialect } from './dialect.ts'
import { throughPooler } from './prepared.ts'
import { number } from './rows.ts'

/** No other table has a column of that name beside the columns of Medusa's. */
const OWN = 'fingerprint'

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
  const { together } = texts
  if (together === undefined) {
    await stepsOf(context, (statement) => database.query(statement))
    return
  }
  await throughPooler(() =>
    database.transaction({ isolation: undefined }, async (tx) => {
      const run = (statement: Statement) => database.within(tx, statement)
      await run({ text: together.lock, values: [] })
      await run({ text: together.limitLockWait, values: [] })
      await stepsOf(context, run)
      return { value: undefined }
    }),
  )
}

async function stepsOf<Tx, Isolation extends string>(
  { dialect, table }: MigrationContext<Tx, Isolation>,
  send: (statement: Statement) => Promise<Rows>,
): Promise<void> {
  const texts = dialect.migrationStatements(table)
  const run = (text: string, values: readonly unknown[] = []) => send({ text, values })
  await run(texts.createVersions)
  const done = (await run(texts.versions)).map((row) => number(row, 'version'))
  const there = done.length === 0 ? await run(texts.tableExists) : []
  // One by one, another process may have made the table and not yet said so: then it is known by its columns.
  const isOurs = texts.together === undefined && there.some((row) => row['column_name'] === OWN)
  if (there.length > 0 && !isOurs) {
    throw new ConfigError(
      `table ${table} exists and was not made by Pawl; give the store another name with the option "table".`,
    )
  }
  for (const { version, statements } of dialect.migrations(table)) {
    if (done.includes(version)) continue
    for (const statement of statements) {
      if (typeof statement === 'string') await run(statement)
      else await addColumn(statement, () => run(texts.tableExists), run)
    }
    await run(texts.addVersion, [version])
  }
}

/** Another process may add it between the look and the statement, which then fails: as well. */
async function addColumn(
  { adds, text }: AddColumn,
  columns: () => Promise<Rows>,
  run: (text: string) => Promise<Rows>,
): Promise<void> {
  const isThere = async (): Promise<boolean> =>
    (await columns()).some((row) => row['column_name'] === adds)
  if (await isThere()) return
  try {
    await run(text)
  } catch (error) {
    if (!(await isThere())) throw error
  }
}

/** What is wrong with table, server and settings. */
export async function check<Tx, Isolation extends string>(
  context: MigrationContext<Tx, Isolation>,
): Promise<readonly StoreProblem[]> {
  const { database, dialect, table } = context
  const found = await dialect.check((statement) => database.query(statement))
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

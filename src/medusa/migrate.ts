/**
 * Makes the table of the service, or adopts the one that Medusa v1 made: columns are added, each with a default or
 * NULL, which rewrites nothing, and the old code goes on beside the new. May be interrupted and called again.
 */
import type { DataSource } from 'typeorm'
import { ConfigError, StoreUnavailableError } from '../core/errors.ts'
import { ADDED_COLUMNS, KEY_COLUMNS, keyTableMigration } from '../sql/key-table.ts'
import { postgres } from '../sql/postgres.ts'
import { supported } from '../sql/supported.ts'

/** How the table is brought about. */
export interface MigrateOptions {
  /** `name` or `schema.name`. `'idempotency_key'` by default. */
  readonly table?: string
  /** True: a table that is there already, made by Medusa v1, gets Pawl's columns. False by default. */
  readonly adopt?: boolean
}

/**
 * Makes or adopts the table. Safe from many processes at once.
 *
 * @throws {@link ConfigError} a table of that name is there, and `adopt` is not set, or it is not Medusa's
 * @throws {@link StoreUnavailableError} somebody has the table locked; call again
 */
export async function migrate(dataSource: DataSource, options: MigrateOptions = {}): Promise<void> {
  const { table, texts } = namesOf(dataSource, options)
  const there = await columnsOf(dataSource, texts.columns)
  if (there.length === 0) {
    await change(dataSource, texts.limitLockWait, [...texts.create, ...texts.adopt])
    return
  }
  const foreign = KEY_COLUMNS.filter((column) => !there.includes(column))
  if (foreign.length > 0) {
    throw new ConfigError(
      `table ${table} exists and is not that of Medusa v1: it has no ${foreign.join(', ')}. Use the option "table".`,
    )
  }
  if (ADDED_COLUMNS.every((column) => there.includes(column))) return
  if (options.adopt !== true) {
    throw new ConfigError(
      `table ${table} exists; { adopt: true } adds Pawl's columns to it, without touching its rows.`,
    )
  }
  await change(dataSource, texts.limitLockWait, texts.adopt)
}

/**
 * Takes Pawl's columns away again, and leaves the table and its keys to the original code. Requests that are in flight
 * lose their leases.
 *
 * @throws as {@link migrate}
 */
export async function revert(
  dataSource: DataSource,
  options: Pick<MigrateOptions, 'table'> = {},
): Promise<void> {
  const { texts } = namesOf(dataSource, options)
  await change(dataSource, texts.limitLockWait, texts.revert)
}

function namesOf(dataSource: DataSource, options: Pick<MigrateOptions, 'table'>) {
  supported('migrate', dataSource.options.type, ['postgres', 'cockroachdb'])
  const table = postgres.quote(options.table ?? 'idempotency_key')
  return { table, texts: keyTableMigration(table) }
}

async function columnsOf(dataSource: DataSource, statement: string): Promise<readonly string[]> {
  const rows = await dataSource.query<{ column_name: string }[]>(statement)
  return rows.map(({ column_name }) => column_name)
}

async function change(
  dataSource: DataSource,
  limitLockWait: string,
  statements: readonly string[],
): Promise<void> {
  try {
    await dataSource.transaction(async (manager) => {
      await manager.query(limitLockWait)
      for (const statement of statements) await manager.query(statement)
    })
  } catch (error) {
    if (postgres.failureOf(error) !== 'aborted') throw error
    throw new StoreUnavailableError('changing the table of the keys', error)
  }
}

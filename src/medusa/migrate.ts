/**
 * Makes the table of the service, or adopts the one that Medusa v1 made: columns are added, each with a default or
 * NULL, which rewrites nothing, and the old code goes on beside the new. May be interrupted and called again.
 */
import type { DataSource } from 'typeorm'
import { ConfigError } from '../core/errors.ts'
import { KEY_COLUMNS } from '../sql/key-table.ts'
import { ADDED_COLUMNS, keyTableMigration } from '../sql/key-table-migration.ts'
import { postgres } from '../sql/postgres.ts'
import { rowsOf } from '../sql/runner-queries.ts'
import { text } from '../sql/rows.ts'
import { supported } from '../sql/supported.ts'
import { Translation } from '../sql/translate.ts'

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
  await change(dataSource, options, (table, there) => {
    const texts = keyTableMigration(table)
    if (there.length === 0) return [...texts.create, ...texts.adopt]
    const foreign = KEY_COLUMNS.filter((column) => !there.includes(column))
    if (foreign.length > 0) {
      throw new ConfigError(
        `table ${table} exists and is not that of Medusa v1: it has no ${foreign.join(', ')}. Use the option "table".`,
      )
    }
    if (ADDED_COLUMNS.every((column) => there.includes(column))) return []
    if (options.adopt === true) return texts.adopt
    throw new ConfigError(
      `table ${table} exists; { adopt: true } adds Pawl's columns to it, without touching its rows.`,
    )
  })
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
  await change(dataSource, options, (table) => keyTableMigration(table).revert)
}

/** One transaction under the lock of the table's name: of many processes one changes it, the others find it done. */
async function change(
  dataSource: DataSource,
  options: Pick<MigrateOptions, 'table'>,
  statementsOf: (table: string, there: readonly string[]) => readonly string[],
): Promise<void> {
  supported('migrate', dataSource.options.type, ['postgres', 'cockroachdb'])
  const table = postgres.quote(options.table ?? 'idempotency_key')
  const texts = postgres.migrationStatements(table)
  try {
    await dataSource.transaction(async (manager) => {
      for (const text of Object.values(texts.together ?? {})) await manager.query(text)
      const columns = rowsOf(await manager.query(texts.tableExists))
      const there = columns.map((row) => text(row, 'column_name'))
      for (const statement of statementsOf(table, there)) await manager.query(statement)
    })
  } catch (error) {
    throw new Translation(postgres, table).ofCall('changing the table of the keys', error)
  }
}

/**
 * `pawl/typeorm`: TypeORM 0.3.20 or newer, 1.x too. `tx` is the `EntityManager` of an open transaction; a nested
 * `tx.transaction(…)` is a savepoint. PostgreSQL and what speaks its SQL.
 * @module
 */
import type { Store } from '../core/store.ts'
import type { Database } from '../sql/database.ts'
import { postgres } from '../sql/postgres.ts'
import { type QueryRunnerLike, rowsOf, runnerTransaction } from '../sql/query-runner.ts'
import { type SqlStoreOptions, sqlStore } from '../sql/sql-store.ts'
import { supported } from '../sql/supported.ts'

/** TypeORM's names for the levels that PostgreSQL has. */
export type TypeormIsolation = 'READ COMMITTED' | 'REPEATABLE READ' | 'SERIALIZABLE'

interface Queries {
  query(text: string, values?: unknown[]): Promise<unknown>
}

/** What Pawl calls on a `DataSource`; the package itself is never imported. */
export interface TypeormDataSourceLike<Manager> extends Queries {
  readonly options: { readonly type: string }
  createQueryRunner(): QueryRunnerLike<TypeormIsolation> & { readonly manager: Manager }
}

/**
 * Keeps records in the database of a `DataSource`, in the transaction of its `EntityManager`.
 *
 * @throws {@link ConfigError} a kind of database that has no dialect yet, or an unusable name of the table
 */
export function typeormStore<Manager extends Queries>(
  dataSource: TypeormDataSourceLike<Manager>,
  options: SqlStoreOptions = {},
): Store<Manager, TypeormIsolation> {
  supported('typeormStore', dataSource.options.type, ['postgres', 'cockroachdb'])
  return sqlStore(databaseOf(dataSource), postgres, options)
}

function databaseOf<Manager extends Queries>(
  dataSource: TypeormDataSourceLike<Manager>,
): Database<Manager, TypeormIsolation> {
  return {
    query: async ({ text, values }) => rowsOf(await dataSource.query(text, [...values])),
    within: async (manager, { text, values }) => rowsOf(await manager.query(text, [...values])),
    transaction: async ({ isolation }, work) => {
      const runner = dataSource.createQueryRunner()
      return await runnerTransaction(runner, isolation ?? 'READ COMMITTED', () =>
        work(runner.manager),
      )
    },
  }
}

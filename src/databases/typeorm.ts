/**
 * `pawl/typeorm`: TypeORM 0.3.20 or newer, 1.x too, on PostgreSQL, MySQL, MariaDB and better-sqlite3. `tx` is the
 * `EntityManager` of an open transaction; a nested `tx.transaction(…)` is a savepoint.
 * @module
 */
import type { Store } from '../core/store.ts'
import type { Database } from '../sql/database.ts'
import { mysql, postgres, sqlite } from '../sql/dialects.ts'
import { type QueryRunnerLike, runnerTransaction } from '../sql/query-runner.ts'
import { typeormRoots } from '../sql/root-handles.ts'
import { type ManagerLike, type QueriesDataSource, RunnerQueries } from '../sql/runner-queries.ts'
import { type PostgresStoreOptions, sqlStore } from '../sql/sql-store.ts'
import { dialectOf } from '../sql/supported.ts'
import { type CallbackDataSource, typeormCallbacks } from '../sql/typeorm-callbacks.ts'

/** TypeORM's names for the levels that keep a promise. */
export type TypeormIsolation = 'READ COMMITTED' | 'REPEATABLE READ' | 'SERIALIZABLE'

/** What Pawl calls on a `DataSource`; the package itself is never imported. */
export interface TypeormDataSourceLike<Manager> extends QueriesDataSource, CallbackDataSource {
  readonly options: { readonly type: string }
  createQueryRunner(): QueryRunnerLike<TypeormIsolation> & { readonly manager: Manager }
}

/** How Pawl uses a data source. */
export interface TypeormStoreOptions extends PostgresStoreOptions {
  /** Named prepared statements. True by default; turns itself off behind a pooler that cannot keep them. */
  readonly prepare?: boolean
}

/** TypeORM's own names. */
const DIALECTS = {
  postgres,
  cockroachdb: postgres,
  mysql,
  mariadb: mysql,
  'better-sqlite3': sqlite,
}

/**
 * Keeps records in the database of a `DataSource`, in the transaction of its `EntityManager`.
 *
 * @throws {@link ConfigError} a kind of database that has no dialect, or an unusable name of the table
 */
export function typeormStore<Manager extends ManagerLike>(
  dataSource: TypeormDataSourceLike<Manager>,
  options: TypeormStoreOptions = {},
): Store<Manager, TypeormIsolation> {
  const dialect = dialectOf('typeormStore', dataSource.options.type, DIALECTS)
  const database =
    dialect === postgres
      ? databaseOf(dataSource, new RunnerQueries(dataSource, options.prepare ?? true))
      : typeormCallbacks<Manager, TypeormIsolation>(dataSource, dialect)
  return sqlStore(database, dialect, options, () => typeormRoots(dataSource))
}

function databaseOf<Manager extends ManagerLike>(
  dataSource: TypeormDataSourceLike<Manager>,
  queries: RunnerQueries,
): Database<Manager, TypeormIsolation> {
  return {
    limiting: { withBegin: true, endsIdle: true },
    query: (statement) => queries.query(statement),
    within: (manager, statement) => queries.within(manager, statement),
    transaction: async ({ isolation, limits }, work) => {
      const runner = dataSource.createQueryRunner()
      const options = { isolation: isolation ?? 'READ COMMITTED', limits, queries }
      return await runnerTransaction(runner, options, () => work(runner.manager))
    },
  }
}

/**
 * `pawl/mariadb`: the connector of MariaDB, 3.5 and newer, on MariaDB 10.6 or MySQL 8 and newer. `tx` is the pool's own
 * `PoolConnection`, inside an open transaction.
 * @module
 */
import type { Store } from '../core/store.ts'
import type { Rows, Statement } from '../sql/database.ts'
import { mysql, type MysqlIsolation } from '../sql/mysql.ts'
import { mysqlPool, rowsOfMysql } from '../sql/mysql-transaction.ts'
import { questionMarks } from '../sql/placeholders.ts'
import { mysqlRoots } from '../sql/root-handles.ts'
import { type SqlStoreOptions, sqlStore } from '../sql/sql-store.ts'

/** One statement, whatever the pool says of the form of rows. */
interface MariadbOptions {
  readonly sql: string
  readonly rowsAsArray: false
  readonly nestTables: false
}

/** What Pawl calls on a connection. */
export interface MariadbConnectionLike {
  query(options: MariadbOptions): Promise<unknown>
  execute(options: MariadbOptions, values: unknown[]): Promise<unknown>
  release(): unknown
  destroy(): unknown
}

/** What Pawl calls on a pool; the package itself is never imported. */
export interface MariadbPoolLike<Connection> {
  getConnection(): Promise<Connection>
}

/**
 * Keeps records in MariaDB or MySQL, on one writer: the primary.
 *
 * @param pool - of `mariadb`'s promise API; stages take one connection each
 * @throws {@link ConfigError} the name of the table cannot be used
 */
export function mariadbStore<Connection extends MariadbConnectionLike>(
  pool: MariadbPoolLike<Connection>,
  options: SqlStoreOptions = {},
): Store<Connection, MysqlIsolation> {
  return sqlStore(mysqlPool(pool, send), mysql, options, () => mysqlRoots(pool))
}

async function send(connection: MariadbConnectionLike, statement: Statement): Promise<Rows> {
  const { text, values } = questionMarks(statement)
  const options = { sql: text, rowsAsArray: false, nestTables: false } as const
  if (values.length === 0) return rowsOfMysql(await connection.query(options))
  return rowsOfMysql(await connection.execute(options, values))
}

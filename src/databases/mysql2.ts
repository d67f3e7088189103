/**
 * `pawl/mysql2`: mysql2 3 on MySQL 8 or MariaDB 10.6 and newer. `tx` is the pool's own `PoolConnection` of
 * `mysql2/promise`, inside an open transaction.
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
type Mysql2Options = { readonly sql: string } & typeof FORM
const FORM = { rowsAsArray: false, nestTables: false, typeCast: true } as const

/** What Pawl calls on a connection. */
export interface Mysql2ConnectionLike {
  query(options: Mysql2Options): Promise<[unknown, ...unknown[]]>
  execute(options: Mysql2Options, values: never[]): Promise<[unknown, ...unknown[]]>
  release(): void
  destroy(): void
}

/** What Pawl calls on a pool; the package itself is never imported. */
export interface Mysql2PoolLike<Connection> {
  getConnection(): Promise<Connection>
}

/**
 * Keeps records in MySQL or MariaDB, on one writer: the primary.
 *
 * @param pool - of `mysql2/promise`; stages take one connection each
 * @throws {@link ConfigError} the name of the table cannot be used
 */
export function mysql2Store<Connection extends Mysql2ConnectionLike>(
  pool: Mysql2PoolLike<Connection>,
  options: SqlStoreOptions = {},
): Store<Connection, MysqlIsolation> {
  return sqlStore(mysqlPool(pool, send), mysql, options, () => mysqlRoots(pool))
}

/** Prepared where there are values: what is put into the text by the client is escaped by a mode of the server. */
async function send(connection: Mysql2ConnectionLike, statement: Statement): Promise<Rows> {
  const { text, values } = questionMarks(statement)
  const options = { sql: text, ...FORM }
  const [answer] =
    values.length === 0
      ? await connection.query(options)
      : await connection.execute(options, values as never[])
  return rowsOfMysql(answer)
}

/**
 * `pawl/sequelize`: Sequelize 6, on PostgreSQL, MySQL and MariaDB. `tx` is its own `Transaction`, which the application
 * passes on as `{ transaction: tx }`, and which refuses what is sent through it after its end.
 * @module
 */
import type { Store } from '../core/store.ts'
import { callbackTransaction } from '../sql/callback-transaction.ts'
import type { Database, Rows, Statement } from '../sql/database.ts'
import type { Dialect } from '../sql/dialect.ts'
import { mysql, postgres } from '../sql/dialects.ts'
import { sequelizeRoots } from '../sql/root-handles.ts'
import { type PostgresStoreOptions, sqlStore } from '../sql/sql-store.ts'
import { LIMITED } from '../sql/stage-timeouts.ts'
import { dialectOf } from '../sql/supported.ts'

/** Sequelize's names for the levels that keep a promise. */
export type SequelizeIsolation = 'READ COMMITTED' | 'REPEATABLE READ' | 'SERIALIZABLE'

/** What Pawl calls on a `Sequelize`; the package itself is never imported. */
export interface SequelizeLike<Tx> {
  getDialect(): string
  /** Of its forms the last, which tells the type; the one with a callback is used. */
  transaction(options?: never): PromiseLike<Tx>
  query(text: string, options: never): PromiseLike<unknown>
}

interface Managed<Tx> {
  transaction(
    options: { isolationLevel: SequelizeIsolation },
    work: (tx: Tx) => Promise<void>,
  ): Promise<unknown>
}

/** Sequelize's own names. */
const DIALECTS = { postgres, mysql, mariadb: mysql }

/**
 * Keeps records in the database of a `Sequelize`, in its own `Transaction`.
 *
 * @throws {@link ConfigError} a kind of database that has no dialect, or an unusable name of the table
 */
export function sequelizeStore<Tx extends object>(
  sequelize: SequelizeLike<Tx>,
  options: PostgresStoreOptions = {},
): Store<Tx, SequelizeIsolation> {
  const dialect = dialectOf('sequelizeStore', sequelize.getDialect(), DIALECTS)
  return sqlStore(databaseOf(sequelize, dialect), dialect, options, () => sequelizeRoots(sequelize))
}

function databaseOf<Tx extends object>(
  sequelize: SequelizeLike<Tx>,
  dialect: Dialect,
): Database<Tx, SequelizeIsolation> {
  const send = async (transaction: Tx | null, { text, values }: Statement): Promise<Rows> => {
    // `bind`, not `replacements`, which are put into the text. `$1` is its own form, on every database.
    const bound = values.length === 0 ? {} : { bind: [...values] }
    const options = { transaction, raw: true, ...bound }
    return rowsOf(await sequelize.query(text, options as never))
  }
  return {
    limiting: dialect === postgres ? LIMITED : undefined,
    query: (statement) => send(null, statement),
    within: send,
    transaction: ({ isolation = 'READ COMMITTED' }, work) => {
      const open = (run: (tx: Tx) => Promise<void>) =>
        (sequelize as unknown as Managed<Tx>).transaction({ isolationLevel: isolation }, run)
      return callbackTransaction({ dialect, within: send, open }, work)
    },
  }
}

/** Rows, and beside them what the driver said. */
function rowsOf(answer: unknown): Rows {
  const [rows] = answer as [Rows | { readonly affectedRows?: number } | undefined]
  if (Array.isArray(rows)) return rows as Rows
  const { affectedRows } = (rows ?? {}) as { readonly affectedRows?: number }
  return affectedRows === undefined ? [] : [{ changed: affectedRows }]
}

/**
 * `pawl/knex`: Knex 3.3 and newer, on PostgreSQL, MySQL (mysql2) and SQLite (better-sqlite3). `tx` is its own
 * `Knex.Transaction`, which refuses what is sent through it after its end.
 * @module
 */
import type { Store } from '../core/store.ts'
import { callbackTransaction } from '../sql/callback-transaction.ts'
import type { Database, Rows, Statement } from '../sql/database.ts'
import type { Dialect } from '../sql/dialect.ts'
import { mysql, postgres, sqlite } from '../sql/dialects.ts'
import { questionMarks } from '../sql/placeholders.ts'
import type { PostgresIsolation } from '../sql/postgres.ts'
import { knexRoots } from '../sql/root-handles.ts'
import { inSnakeCase } from '../sql/rows.ts'
import { type PostgresStoreOptions, sqlStore } from '../sql/sql-store.ts'
import { LIMITED } from '../sql/stage-timeouts.ts'
import { dialectOf } from '../sql/supported.ts'

/** What Pawl calls on a `Knex` and on its transactions. */
export interface KnexQueries {
  raw(text: string, values: never): PromiseLike<unknown>
}

/** What Pawl calls on a `Knex`; the package itself is never imported. */
export interface KnexLike<Tx> extends KnexQueries {
  readonly client: { readonly dialect: string }
  transaction(
    work: (tx: Tx) => Promise<void>,
    config?: { isolationLevel: PostgresIsolation },
  ): Promise<unknown>
}

/** Knex's own names. */
const DIALECTS = { postgresql: postgres, cockroachdb: postgres, mysql, sqlite3: sqlite }

/**
 * Keeps records in the database of a `Knex`, in its own `Knex.Transaction`.
 *
 * @throws {@link ConfigError} a kind of database that has no dialect, or an unusable name of the table
 */
export function knexStore<Tx extends KnexQueries>(
  knex: KnexLike<Tx>,
  options: PostgresStoreOptions = {},
): Store<Tx, PostgresIsolation> {
  const dialect = dialectOf('knexStore', knex.client.dialect, DIALECTS)
  return sqlStore(databaseOf(knex, dialect), dialect, options, () => knexRoots(knex))
}

function databaseOf<Tx extends KnexQueries>(
  knex: KnexLike<Tx>,
  dialect: Dialect,
): Database<Tx, PostgresIsolation> {
  const isSqlite = dialect.name === 'sqlite'
  const send = async (on: KnexQueries, statement: Statement): Promise<Rows> => {
    const { text, values } = questionMarks(statement)
    return inSnakeCase(rowsOf(await on.raw(text, values as never)))
  }
  return {
    beginsDeferred: isSqlite,
    limiting: dialect === postgres ? LIMITED : undefined,
    query: (statement) => send(knex, statement),
    within: send,
    transaction: ({ isolation }, work) => {
      const config = isSqlite ? undefined : { isolationLevel: isolation ?? 'read committed' }
      const open = (run: (tx: Tx) => Promise<void>) => knex.transaction(run, config)
      return callbackTransaction({ dialect, within: send, open }, work)
    },
  }
}

/** Each driver's answer in its own form: pg's result, mysql2's pair, better-sqlite3's rows. */
function rowsOf(answer: unknown): Rows {
  if (!Array.isArray(answer)) return (answer as { readonly rows?: Rows }).rows ?? []
  const [first] = answer as readonly unknown[]
  if (Array.isArray(first)) return first as Rows
  const { affectedRows } = (first ?? {}) as { readonly affectedRows?: number }
  return affectedRows === undefined ? (answer as Rows) : [{ changed: affectedRows }]
}

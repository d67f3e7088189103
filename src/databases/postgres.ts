/**
 * `pawl/postgres`: postgres.js 3.4. `tx` is the `TransactionSql` that `sql.begin` gives.
 * @module
 */
import type { Store } from '../core/store.ts'
import { callbackTransaction } from '../sql/callback-transaction.ts'
import type { Database, Rows, Statement } from '../sql/database.ts'
import { type Entrances, lend, refuse } from '../sql/lent-client.ts'
import { postgres, type PostgresIsolation } from '../sql/postgres.ts'
import { postgresJsRoots } from '../sql/root-handles.ts'
import { inSnakeCase } from '../sql/rows.ts'
import { type PostgresStoreOptions, sqlStore } from '../sql/sql-store.ts'

/** What Pawl calls on a transaction. */
export interface PostgresJsQueries {
  unsafe(text: string, values: never[], options: { prepare: boolean }): PromiseLike<unknown>
}

/** What Pawl calls on `postgres()`; the package itself is never imported. */
export interface PostgresJsLike<Tx> extends PostgresJsQueries {
  begin(options: string, work: (tx: Tx) => Promise<void>): PromiseLike<unknown>
  readonly options: { readonly prepare: boolean }
}

/** How Pawl uses it. */
export interface PostgresJsStoreOptions extends PostgresStoreOptions {
  /** Named prepared statements. As `postgres()` was told by default; false behind a pooler that cannot keep them. */
  readonly prepare?: boolean
}

const ENTRANCES: Entrances = {
  methods: ['unsafe', 'file', 'savepoint', 'notify'],
  nesting: ['savepoint'],
  refuse,
}

/**
 * Keeps records in PostgreSQL 12 or newer. Only the primary will do.
 *
 * @param sql - of `postgres()`; stages take one connection each
 * @throws {@link ConfigError} the name of the table cannot be used
 */
export function postgresJsStore<Tx extends PostgresJsQueries & object>(
  sql: PostgresJsLike<Tx>,
  options: PostgresJsStoreOptions = {},
): Store<Tx, PostgresIsolation> {
  const prepare = options.prepare ?? sql.options.prepare
  return sqlStore(databaseOf(sql, prepare), postgres, options, () => postgresJsRoots(sql))
}

function databaseOf<Tx extends PostgresJsQueries & object>(
  sql: PostgresJsLike<Tx>,
  prepare: boolean,
): Database<Tx, PostgresIsolation> {
  const send = async (on: PostgresJsQueries, { text, values }: Statement): Promise<Rows> =>
    inSnakeCase([...((await on.unsafe(text, [...values] as never[], { prepare })) as Rows)])
  return {
    // Its first versions of 3.4 never tell that a session at rest has ended: the stage would hang.
    limiting: { withBegin: true, endsIdle: false },
    query: (statement) => send(sql, statement),
    within: send,
    transaction: ({ isolation, limits }, work) =>
      callbackTransaction(
        {
          dialect: postgres,
          within: send,
          open: async (run) =>
            await sql.begin(`isolation level ${isolation ?? 'read committed'}`, run),
          // Without values it is a simple query, of as many statements as there are.
          first: limits && (async (tx) => await tx.unsafe(limits.each.join('; '), [], { prepare })),
          lend: (tx, to, end) => lend(tx, to, ENTRANCES, end),
        },
        work,
      ),
  }
}

/**
 * `pawl/kysely`: Kysely, on PostgreSQL, MySQL and SQLite. `tx` is its own `Transaction`.
 * @module
 */
import type { Store } from '../core/store.ts'
import { callbackTransaction } from '../sql/callback-transaction.ts'
import type { Database } from '../sql/database.ts'
import type { Dialect } from '../sql/dialect.ts'
import { mysql, postgres, sqlite } from '../sql/dialects.ts'
import { ASKED, type KyselyQueries, sendingOf } from '../sql/kysely-queries.ts'
import { lend } from '../sql/lent-client.ts'
import type { PostgresIsolation } from '../sql/postgres.ts'
import { kyselyRoots } from '../sql/root-handles.ts'
import { type PostgresStoreOptions, sqlStore } from '../sql/sql-store.ts'
import { dialectOf } from '../sql/supported.ts'

interface KyselyBuilder<Tx> {
  setIsolationLevel(level: PostgresIsolation): KyselyBuilder<Tx>
  execute(work: (tx: Tx) => Promise<void>): Promise<unknown>
}

/** What Pawl calls on a `Kysely`; the package itself is never imported. */
export interface KyselyLike<Tx> extends KyselyQueries {
  transaction(): KyselyBuilder<Tx>
  getExecutor(): { readonly adapter: Record<Ability, boolean> }
}

type Ability = 'supportsReturning' | 'supportsTransactionalDdl'

/**
 * Keeps records in the database of a `Kysely`, in its own `Transaction`. On PostgreSQL listen to the errors of the
 * pool's clients, which Kysely does not: `pool.on('connect', (client) => client.on('error', log))`. Since the end of a
 * session may else end the process, `stageTimeouts.idle` has no default here.
 *
 * @throws {@link ConfigError} a kind of database that has no dialect, or an unusable name of the table
 */
export function kyselyStore<Tx extends KyselyQueries>(
  db: KyselyLike<Tx>,
  options: PostgresStoreOptions = {},
): Store<Tx, PostgresIsolation> {
  const dialect = dialectOf('kyselyStore', kindOf(db), { postgres, mysql, sqlite })
  return sqlStore(databaseOf(db, dialect), dialect, options, () => kyselyRoots(db))
}

/** By what its adapter can do: names of classes do not survive a minifier. */
function kindOf<Tx>(db: KyselyLike<Tx>): string {
  const { supportsReturning, supportsTransactionalDdl } = db.getExecutor().adapter
  if (supportsTransactionalDdl) return supportsReturning ? 'postgres' : 'mssql'
  return supportsReturning ? 'sqlite' : 'mysql'
}

function databaseOf<Tx extends KyselyQueries>(
  db: KyselyLike<Tx>,
  dialect: Dialect,
): Database<Tx, PostgresIsolation> {
  const send = sendingOf(dialect)
  const isSqlite = dialect.name === 'sqlite'
  return {
    beginsDeferred: isSqlite,
    limiting: dialect === postgres ? { withBegin: false, endsIdle: false } : undefined,
    query: (statement) => send(db, statement),
    within: send,
    transaction: ({ isolation = 'read committed' }, work) => {
      const builder = isSqlite ? db.transaction() : db.transaction().setIsolationLevel(isolation)
      const open = (run: (tx: Tx) => Promise<void>) => builder.execute(run)
      const lent = <R>(tx: Tx, to: (tx: Tx) => Promise<R>) => lend(tx, to, ASKED)
      return callbackTransaction({ dialect, within: send, open, lend: lent }, work)
    },
  }
}

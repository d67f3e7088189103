/**
 * `pawl/prisma`: Prisma 7, on PostgreSQL, MySQL, MariaDB and SQLite. `tx` is the `Prisma.TransactionClient` of an
 * interactive transaction, which refuses what is sent through it after its end. On SQLite its adapter has one
 * connection: what Pawl sends takes turns, in transactions, for which the application's own are waited for.
 * @module
 */
import type { Store } from '../core/store.ts'
import { type CallbackTransaction, callbackTransaction } from '../sql/callback-transaction.ts'
import type { Database } from '../sql/database.ts'
import type { Dialect } from '../sql/dialect.ts'
import { mysql, postgres, sqlite } from '../sql/dialects.ts'
import { inSavepoint, type PrismaQueries, sendingOf } from '../sql/prisma-queries.ts'
import { prismaRoots } from '../sql/root-handles.ts'
import { type PostgresStoreOptions, sqlStore } from '../sql/sql-store.ts'
import { LIMITED } from '../sql/stage-timeouts.ts'
import { dialectOf } from '../sql/supported.ts'
import { takingTurns } from '../sql/taking-turns.ts'

/** Prisma's names for the levels that keep a promise; on SQLite it has the last alone. */
export type PrismaIsolation = 'ReadCommitted' | 'RepeatableRead' | 'Serializable'

/** What Pawl calls on a `PrismaClient`; the package itself is never imported. */
export interface PrismaLike<Tx, Level> extends PrismaQueries {
  $transaction(
    work: (tx: Tx) => Promise<unknown>,
    options?: { timeout?: number; maxWait?: number; isolationLevel?: Level },
  ): Promise<unknown>
}

/** How Pawl uses a client. */
export interface PrismaStoreOptions extends PostgresStoreOptions {
  /** Milliseconds after which Prisma rolls a stage back. 60,000 by default; Prisma's own 5,000 ends a slow stage. */
  readonly timeout?: number
  /** Milliseconds in which a connection must be had. 5,000 by default. */
  readonly maxWait?: number
}

/** Prisma's own names. */
const DIALECTS = { postgresql: postgres, cockroachdb: postgres, mysql, sqlite }

/**
 * Keeps records in the database of a `PrismaClient`.
 *
 * @throws {@link ConfigError} a kind of database that has no dialect, or an unusable name of the table
 */
export function prismaStore<Tx extends PrismaQueries, Level extends string>(
  prisma: PrismaLike<Tx, Level>,
  options: PrismaStoreOptions = {},
): Store<Tx, Level & PrismaIsolation> {
  const { _activeProvider: kind = 'no provider' } = prisma as { _activeProvider?: string }
  const dialect = dialectOf('prismaStore', kind, DIALECTS)
  return sqlStore(databaseOf(prisma, dialect, options), dialect, options, () => prismaRoots(prisma))
}

function databaseOf<Tx extends PrismaQueries, Level extends string>(
  prisma: PrismaLike<Tx, Level>,
  dialect: Dialect,
  { timeout = 60_000, maxWait = 5_000 }: PrismaStoreOptions,
): Database<Tx, Level & PrismaIsolation> {
  const { failureOf, hasAnswered, guard } = dialect
  const within = sendingOf(dialect)
  const library: Omit<CallbackTransaction<Tx>, 'open'> = {
    dialect: { failureOf, hasAnswered },
    within,
    ...(guard && { lend: inSavepoint }),
  }
  const database: Database<Tx, Level & PrismaIsolation> = {
    limiting: dialect === postgres ? LIMITED : undefined,
    query: (statement) => within(prisma, statement),
    within,
    transaction: ({ isolation = 'ReadCommitted' }, work) => {
      const level = dialect === sqlite ? {} : { isolationLevel: isolation as Level }
      const open = (run: (tx: Tx) => Promise<void>) =>
        prisma.$transaction(run, { timeout, maxWait, ...level })
      return callbackTransaction({ ...library, open }, work)
    },
  }
  return dialect === sqlite ? takingTurns(database) : database
}

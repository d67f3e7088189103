/**
 * `pawl/mikro-orm`: MikroORM 6 and 7, on PostgreSQL, MySQL, MariaDB and SQLite. `tx` is the `EntityManager` of an open
 * transaction: a fork, whose entities are flushed before the record's own change, so that this one stays the last.
 * @module
 */
import type { Store } from '../core/store.ts'
import { callbackTransaction } from '../sql/callback-transaction.ts'
import type { Database } from '../sql/database.ts'
import type { Dialect } from '../sql/dialect.ts'
import { mysql, postgres, sqlite } from '../sql/dialects.ts'
import { lend } from '../sql/lent-client.ts'
import { ASKED, kindOf, type MikroOrmQueries, onKnex, sendingOf } from '../sql/mikro-orm-queries.ts'
import type { PostgresIsolation } from '../sql/postgres.ts'
import { mikroOrmRoots } from '../sql/root-handles.ts'
import { type PostgresStoreOptions, sqlStore } from '../sql/sql-store.ts'
import { dialectOf } from '../sql/supported.ts'
import { fromWork } from '../sql/translate.ts'

/** What Pawl calls on an `EntityManager`. */
export interface MikroOrmManagerLike extends MikroOrmQueries {
  fork(): this
  transactional(...workAndOptions: never[]): Promise<unknown>
  flush(): Promise<void>
}

/** What Pawl calls on a `MikroORM`; the package itself is never imported. */
export interface MikroOrmLike<Manager> {
  readonly em: Manager
}

/**
 * Keeps records in the database of a `MikroORM`, in the transaction of an `EntityManager`. On MikroORM 7, which is
 * built on Kysely, `stageTimeouts.idle` has no default: what is said of `kyselyStore` holds there.
 *
 * @throws {@link ConfigError} a kind of database that has no dialect, or an unusable name of the table
 */
export function mikroOrmStore<Manager extends MikroOrmManagerLike>(
  orm: MikroOrmLike<Manager>,
  options: PostgresStoreOptions = {},
): Store<Manager, PostgresIsolation> {
  const dialect = dialectOf('mikroOrmStore', kindOf(orm.em), { postgres, mysql, sqlite })
  return sqlStore(databaseOf(orm.em, dialect), dialect, options, () => mikroOrmRoots(orm.em))
}

function databaseOf<Manager extends MikroOrmManagerLike>(
  em: Manager,
  dialect: Dialect,
): Database<Manager, PostgresIsolation> {
  const isSqlite = dialect.name === 'sqlite'
  const within = sendingOf(dialect)
  return {
    beginsDeferred: isSqlite,
    limiting: dialect === postgres ? { withBegin: false, endsIdle: onKnex(em) } : undefined,
    query: (statement) => within(em.fork(), statement),
    within,
    transaction: ({ isolation = 'read committed' }, work) => {
      const level = isSqlite ? {} : { isolationLevel: isolation }
      const open = (run: (tx: Manager) => Promise<void>) =>
        em.fork().transactional(run as never, level as never)
      const lent = <R>(tx: Manager, to: (tx: Manager) => Promise<R>) => lend(tx, to, ASKED)
      return callbackTransaction({ dialect, within, open, lend: lent }, async (tx: Manager) => {
        const closing = await work(tx)
        await fromWork(tx.flush())
        return closing
      })
    },
  }
}

/**
 * TypeORM where its client is not node-postgres (MySQL, MariaDB, better-sqlite3): statements through its managers. On
 * better-sqlite3 all of TypeORM shares one query runner, where a second transaction would be a savepoint of the first:
 * they take turns.
 */
import { callbackTransaction } from './callback-transaction.ts'
import type { Database, Rows, Statement } from './database.ts'
import type { Dialect } from './dialect.ts'
import { type Entrances, lend, refuse } from './lent-client.ts'
import { rowsOfMysql } from './mysql-transaction.ts'
import { questionMarks } from './placeholders.ts'
import { Queue } from './queue.ts'

interface Queries {
  query(text: string, values?: unknown[]): Promise<unknown>
}

/** What is called on a data source. */
export interface CallbackDataSource extends Queries {
  readonly manager: {
    transaction(...isolationAndWork: never[]): Promise<unknown>
  }
}

/** Through what a manager is asked. */
const ASKED: Entrances = {
  methods: [
    ...[
      'query',
      'save',
      'insert',
      'update',
      'upsert',
      'delete',
      'remove',
      'increment',
      'decrement',
    ],
    ...['softDelete', 'softRemove', 'recover', 'restore', 'transaction', 'clear'],
  ],
  givingAway: ['release'],
  refuse,
}

/** The three verbs of a data source. */
export function typeormCallbacks<Manager extends Queries & object, Isolation extends string>(
  dataSource: CallbackDataSource,
  dialect: Dialect,
): Database<Manager, Isolation> {
  const isSqlite = dialect.name === 'sqlite'
  const queue = new Queue()
  const inTurn = <R>(work: () => Promise<R>): Promise<R> => (isSqlite ? queue.next(work) : work())
  const send = async (on: Queries, statement: Statement): Promise<Rows> => {
    const { text, values } = questionMarks(statement)
    const answer = await on.query(text, values)
    // better-sqlite3 answers a change with the last id.
    return typeof answer === 'object' && answer !== null ? rowsOfMysql(answer) : []
  }
  return {
    beginsDeferred: isSqlite,
    query: (statement) => inTurn(() => send(dataSource, statement)),
    within: send,
    transaction: ({ isolation }, work) => {
      const level = isSqlite ? [] : [isolation ?? 'READ COMMITTED']
      const open = (run: (manager: Manager) => Promise<void>) =>
        dataSource.manager.transaction(...([...level, run] as never[]))
      const lent = <R>(manager: Manager, to: (manager: Manager) => Promise<R>) =>
        lend(manager, to, ASKED)
      return inTurn(() => callbackTransaction({ dialect, within: send, open, lend: lent }, work))
    },
  }
}

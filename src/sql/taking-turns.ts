/**
 * A library that has one connection to SQLite for all who use it: what is sent between BEGIN and COMMIT is in that
 * transaction, whoever sends it. So a statement of Pawl's is a transaction of its own, which the library keeps apart
 * from the application's, and Pawl's take turns without a limit of time.
 */
import type { Closing, Database } from './database.ts'
import { Queue } from './queue.ts'

/** The same database, a transaction at a time. */
export function takingTurns<Tx, Isolation extends string>(
  database: Database<Tx, Isolation>,
): Database<Tx, Isolation> {
  const queue = new Queue()
  type Options = Parameters<typeof database.transaction>[0]
  const transaction = <R>(options: Options, work: (tx: Tx) => Promise<Closing<R>>): Promise<R> =>
    queue.next(() => database.transaction(options, work))
  return {
    ...database,
    beginsDeferred: true,
    query: (statement) =>
      transaction({ isolation: undefined }, async (tx) => ({
        value: await database.within(tx, statement),
      })),
    transaction,
  }
}

/**
 * A transaction on a connection whose library begins, commits and rolls back by methods of its own, and does not tell
 * how COMMIT was answered (TypeORM's query runner).
 */
import { TransactionEndedError } from '../core/errors.ts'
import type { Closing, Rows } from './database.ts'
import { connected, wireTransaction } from './wire-transaction.ts'

/** One connection, out of its pool. */
export interface QueryRunnerLike<Isolation extends string> {
  connect(): Promise<unknown>
  startTransaction(isolation: Isolation): Promise<void>
  query(text: string, values?: unknown[]): Promise<unknown>
  commitTransaction(): Promise<void>
  rollbackTransaction(): Promise<void>
  release(): Promise<void>
  readonly isTransactionActive: boolean
}

/** What TypeORM's `query` answers: of an UPDATE rows and their number, of everything else rows. */
export function rowsOf(answer: unknown): Rows {
  const [rows, count] = answer as readonly unknown[]
  return (typeof count === 'number' ? rows : answer) as Rows
}

/** What the library itself sends behind the work. */
const ENDS = /^(?:commit|rollback)/i

/**
 * Runs a transaction, and gives the connection back.
 *
 * @throws as {@link Database.transaction} says
 */
export async function runnerTransaction<Isolation extends string, R>(
  runner: QueryRunnerLike<Isolation>,
  isolation: Isolation,
  work: () => Promise<Closing<R>>,
): Promise<R> {
  await connected(runner.connect())
  const query = runner.query.bind(runner)
  let isOver = false
  let isKnownWhole = false
  // Work may leave something running behind it, whose statements would commit with somebody else's.
  runner.query = (text, ...rest) =>
    isOver && !ENDS.test(text) ? Promise.reject(new TransactionEndedError()) : query(text, ...rest)
  const connection = {
    begin: () => runner.startTransaction(isolation),
    send: async ({ text, values }: { text: string; values: readonly unknown[] }) => {
      await query(text, [...values])
      isKnownWhole = true
    },
    commit: async () => {
      // A failed transaction refuses any statement, and would answer COMMIT with ROLLBACK.
      if (!isKnownWhole) await query('select 1')
      await runner.commitTransaction()
      return { command: 'COMMIT' }
    },
    rollback: () => runner.rollbackTransaction(),
    done: () => void givenBack(runner),
  }
  return await wireTransaction(connection, { isolation, pipelined: false }, async () => {
    try {
      return await work()
    } finally {
      isOver = true
    }
  })
}

/** Never with a transaction open: the next one on this connection would be inside of it. */
async function givenBack<Isolation extends string>(
  runner: QueryRunnerLike<Isolation>,
): Promise<void> {
  if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined)
  await runner.release().catch(() => undefined)
}

/**
 * A transaction on a connection whose library begins, commits and rolls back by methods of its own, and does not tell
 * how COMMIT was answered (TypeORM's query runner).
 */
import { TransactionEndedError } from '../core/errors.ts'
import { type Closing, type Limits, RolledBackError, type Statement } from './database.ts'
import { JoinedTransaction } from './joined-transaction.ts'
import { givenAwayError } from './lent-client.ts'
import { clientOf, type RunnerLike, type RunnerQueries } from './runner-queries.ts'
import { connected, type WireConnection, wireTransaction } from './wire-transaction.ts'

/** One connection, out of its pool. */
export interface QueryRunnerLike<Isolation extends string> extends RunnerLike {
  startTransaction(isolation: Isolation): Promise<void>
  commitTransaction(): Promise<void>
  rollbackTransaction(): Promise<void>
  release(): Promise<void>
  readonly isTransactionActive: boolean
}

/** How a transaction is run. */
interface RunnerOptions<Isolation extends string> {
  readonly isolation: Isolation
  readonly limits: Limits | undefined
  readonly queries: RunnerQueries
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
  { isolation, limits, queries }: RunnerOptions<Isolation>,
  work: () => Promise<Closing<R>>,
): Promise<R> {
  const client = await connected(clientOf(runner))
  const joined =
    client === undefined || client.pipeline === true
      ? undefined
      : new JoinedTransaction(runner, client, queries.prepared)
  const verbs =
    joined === undefined ? verbsOf(runner, isolation) : joinedVerbs(runner, isolation, joined)
  const query = runner.query.bind(runner)
  const release = runner.release.bind(runner)
  let isOver = false
  let misuse: Error | undefined
  // Told when the work is done: the rejection of a release that nobody awaits would end the process.
  runner.release = () => {
    misuse = givenAwayError('release')
    return Promise.resolve()
  }
  // Work may leave something running behind it, whose statements would commit with somebody else's.
  runner.query = (text, ...rest) =>
    isOver && !ENDS.test(text) ? Promise.reject(new TransactionEndedError()) : query(text, ...rest)
  const connection = {
    ...verbs,
    rollback: () => runner.rollbackTransaction(),
    done: () => {
      runner.release = release
      void givenBack(runner)
    },
  }
  return await wireTransaction(connection, { isolation, limits, pipelined: false }, async () => {
    try {
      const closing = await work()
      if (misuse !== undefined) throw misuse
      return closing
    } finally {
      isOver = true
    }
  })
}

type Verbs = Omit<WireConnection, 'rollback' | 'done'>

/** BEGIN in one message with its level, COMMIT in one with the fence. */
function joinedVerbs<Isolation extends string>(
  runner: QueryRunnerLike<Isolation>,
  isolation: Isolation,
  joined: JoinedTransaction,
): Verbs {
  const commit = async (): Promise<{ command: string }> => {
    try {
      await runner.commitTransaction()
      return { command: 'COMMIT' }
    } catch (error) {
      if (error instanceof RolledBackError) return { command: 'ROLLBACK' }
      throw error
    }
  }
  return {
    begin: async (_, limits) => {
      await runner.startTransaction(isolation)
      await joined.begin(limits?.each)
    },
    send: (statement) => joined.send(statement),
    commit,
    sendClosing: (last) => {
      void joined.sendLast(last)
      return commit()
    },
  }
}

/** One by one. */
function verbsOf<Isolation extends string>(
  runner: QueryRunnerLike<Isolation>,
  isolation: Isolation,
): Verbs {
  const query = runner.query.bind(runner)
  let isKnownWhole = false
  return {
    begin: async (_, limits) => {
      await runner.startTransaction(isolation)
      if (limits !== undefined) await query(limits.together.text)
    },
    send: async ({ text, values }: Statement) => {
      await query(text, [...values])
      isKnownWhole = true
    },
    commit: async () => {
      // A failed transaction refuses any statement, and would answer COMMIT with ROLLBACK.
      if (!isKnownWhole) await query('select 1')
      await runner.commitTransaction()
      return { command: 'COMMIT' }
    },
  }
}

/** Never with a transaction open: the next one on this connection would be inside of it. */
async function givenBack<Isolation extends string>(
  runner: QueryRunnerLike<Isolation>,
): Promise<void> {
  if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined)
  await runner.release().catch(() => undefined)
}

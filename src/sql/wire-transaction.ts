/**
 * BEGIN, work, COMMIT on one connection that speaks PostgreSQL's protocol, where the driver has no transaction of its
 * own. What matters is what is known when something breaks: before COMMIT is sent nothing was committed, after that
 * nobody knows, unless the server said so.
 */
import { StoreFailedError } from '../core/errors.ts'
import {
  type Closing,
  CommitLostError,
  ConnectError,
  ConnectionLostError,
  type Limits,
  RolledBackError,
  type Statement,
} from './database.ts'
import type { Dialect } from './dialect.ts'
import { hasAnswered as postgresHasAnswered } from './postgres-errors.ts'

/** One connection, out of its pool. */
export interface WireConnection {
  /**
   * At READ COMMITTED unless another level is named; with its limits of time, where there are any. Undefined: it waits
   * for the first statement.
   */
  begin(isolation: string | undefined, limits?: Limits): Promise<unknown> | undefined
  send(statement: Statement): Promise<unknown>
  commit(): Promise<{ readonly command: string }>
  rollback(): Promise<unknown>
  /** Sends a statement and COMMIT in one message; answers for COMMIT. Absent: they are sent one by one. */
  readonly sendClosing?: ((last: Statement) => Promise<{ readonly command: string }>) | undefined
  /** When BEGIN, which waited for the first statement, is answered. Undefined: it is, or waits. */
  readonly settled?: (() => Promise<void> | undefined) | undefined
  /** Why BEGIN, which waited for the first statement, was not executed. Nothing else was, unless it says so. */
  readonly refusal?: (() => Error | undefined) | undefined
  /** It goes back into its pool, or is destroyed when it broke. */
  done(broken: boolean): void
}

/** The verbs of a connection that has statements only. */
export function transactionOver(
  send: (statement: Statement) => Promise<{ readonly command: string }>,
): Pick<WireConnection, 'begin' | 'send' | 'commit' | 'rollback'> {
  const plain = (text: string) => send({ text, values: [] })
  return {
    // One text, one round trip. Where a limit is refused, the transaction is open, and failed.
    begin: (isolation, limits) =>
      plain(
        [`begin isolation level ${isolation ?? 'read committed'}`, ...(limits?.each ?? [])].join(
          '; ',
        ),
      ),
    send,
    commit: () => plain('commit'),
    rollback: () => plain('rollback'),
  }
}

type Answered = Dialect['hasAnswered']

/** How a transaction is run. */
export interface WireOptions {
  readonly isolation: string | undefined
  readonly limits?: Limits | undefined
  /** Statements sent without awaiting each other share a round trip. */
  readonly pipelined: boolean
  /** What the dialect says of an error. PostgreSQL's by default. */
  readonly hasAnswered?: Answered
}

/** The connection. @throws {@link ConnectError} there was none */
export function connected<Connection>(connecting: Promise<Connection>): Promise<Connection> {
  return connecting.catch((error: unknown) => {
    throw new ConnectError(error)
  })
}

/**
 * Runs a transaction on a connection and gives it back.
 *
 * @throws as {@link Database.transaction} says
 */
export async function wireTransaction<R>(
  connection: WireConnection,
  { isolation, limits, pipelined, hasAnswered = postgresHasAnswered }: WireOptions,
  work: () => Promise<Closing<R>>,
): Promise<R> {
  let broken = false
  try {
    const begun = connection.begin(isolation, limits)
    let closing: Closing<R>
    let last: Statement | undefined
    try {
      // Pipelined, BEGIN is awaited only behind the work, whose first statement then travels with it.
      if (pipelined) begun?.catch(() => undefined)
      else if (begun !== undefined) await connected(begun)
      closing = await work()
      last = closing.last
      const settling = connection.settled?.()
      if (settling !== undefined) await settling
      const refused = pipelined ? await refusalOf(begun, hasAnswered) : connection.refusal?.()
      if (refused !== undefined) throw refused
      if (!pipelined && connection.sendClosing === undefined && last !== undefined) {
        await connection.send(last)
        last = undefined
      }
    } catch (error) {
      const unbegun = connection.refusal?.()
      if (unbegun !== undefined) throw unbegun
      const refused = await refusalOf(begun, hasAnswered)
      await rolledBack(connection, error).catch((lost: unknown) => {
        throw connection.refusal?.() ?? lost
      })
      // What refused BEGIN may have come with the answer of ROLLBACK.
      const late = connection.refusal?.()
      if (late !== undefined) throw late
      throw error instanceof ConnectError ? error : (refused ?? error)
    }
    if (last !== undefined && connection.sendClosing !== undefined)
      await closed(connection, connection.sendClosing(last), hasAnswered)
    else await committed(connection, last, hasAnswered)
    return closing.value
  } catch (error) {
    broken = connection.refusal?.() !== undefined || BROKEN.some((kind) => error instanceof kind)
    throw error
  } finally {
    connection.done(broken)
  }
}

/** After these a connection is never used again: an answer to somebody else's question may still be on it. */
const BROKEN = [ConnectError, ConnectionLostError, CommitLostError]

/**
 * Pipelined, the work goes out before BEGIN is answered. Where BEGIN alone was refused (a cancel aimed at that very
 * instant), the work was no transaction, and that is said; a broken connection shows at the next statement.
 */
async function refusalOf(
  begun: Promise<unknown> | undefined,
  hasAnswered: Answered,
): Promise<StoreFailedError | undefined> {
  try {
    await begun
    return undefined
  } catch (error) {
    if (!hasAnswered(error)) return undefined
    const doing = 'beginning a transaction; rows of this stage may have been kept'
    return new StoreFailedError(doing, error)
  }
}

async function rolledBack(connection: WireConnection, because: unknown): Promise<void> {
  try {
    await connection.rollback()
  } catch {
    throw because instanceof ConnectError ? because : new ConnectionLostError(because)
  }
}

/** In one message: a statement that is refused leaves the transaction open. */
async function closed(
  connection: WireConnection,
  closing: Promise<{ readonly command: string }>,
  hasAnswered: Answered,
): Promise<void> {
  let command: string
  try {
    command = (await closing).command
  } catch (error) {
    if (error instanceof ConnectionLostError) throw error
    if (!hasAnswered(error)) throw connection.refusal?.() ?? new CommitLostError(error)
    await rolledBack(connection, error)
    throw error
  }
  if (command !== 'COMMIT') throw new RolledBackError()
}

/** Pipelined: both at once, each with an answer of its own. */
async function committed(
  connection: WireConnection,
  last: Statement | undefined,
  hasAnswered: Answered,
): Promise<void> {
  const [fence, commit] = await Promise.allSettled([
    last && connection.send(last),
    connection.commit(),
  ])
  // The server refused the fence: the COMMIT behind it could only roll back, whether we hear of it or not.
  if (fence.status === 'rejected' && hasAnswered(fence.reason)) throw fence.reason
  if (commit.status === 'rejected') {
    if (hasAnswered(commit.reason)) throw commit.reason
    throw connection.refusal?.() ?? new CommitLostError(commit.reason)
  }
  if (commit.value.command !== 'COMMIT') throw new RolledBackError()
  if (fence.status === 'rejected') throw new CommitLostError(fence.reason)
}

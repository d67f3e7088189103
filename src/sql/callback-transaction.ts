/**
 * A transaction that a library opens around a callback, and commits or rolls back by itself. What it does not tell is
 * found out: how far it had come when it rejected, whether the server is still there, and whether an error was
 * swallowed.
 */
import {
  type Closing,
  CommitLostError,
  ConnectError,
  ConnectionLostError,
  RolledBackError,
  type Rows,
  type Statement,
} from './database.ts'
import type { Dialect } from './dialect.ts'
import { mustHold } from './fence.ts'
import { never, SessionEnd } from './session-end.ts'

/** How the library does it. */
export interface CallbackTransaction<Tx> {
  readonly dialect: Pick<Dialect, 'failureOf' | 'hasAnswered' | 'guard'>
  /** Opens a transaction at READ COMMITTED or the level that was asked for, runs `work`, commits. */
  readonly open: (work: (tx: Tx) => Promise<void>) => Promise<unknown>
  readonly within: (tx: Tx, statement: Statement) => Promise<Rows>
  /** Sent first, and not waited for: the work's first statement travels right behind it. */
  readonly first?: ((tx: Tx) => Promise<unknown>) | undefined
  /**
   * What the work gets: it refuses statements after the work has settled, and once the session is gone. Absent: the
   * library's own does.
   */
  readonly lend?: <R>(tx: Tx, work: (tx: Tx) => Promise<R>, end: SessionEnd) => Promise<R>
}

const PROBE: Statement = { text: 'select 1 as alive', values: [] }

/**
 * Runs `work` in a transaction of the library.
 *
 * @throws as {@link Database.transaction} says
 */
export async function callbackTransaction<Tx, R>(
  library: CallbackTransaction<Tx>,
  work: (tx: Tx) => Promise<Closing<R>>,
): Promise<R> {
  const { dialect, open, within, first, lend } = library
  let step = 'opening' as Rejection['step']
  let done: Closing<R> | undefined
  let failure: unknown
  const end = new SessionEnd()
  let settled: Promise<unknown> | undefined
  const worked = async (tx: Tx): Promise<void> => {
    const begun = first?.(tx).then(
      () => undefined,
      (error: unknown) => ({ error }),
    )
    try {
      if (dialect.guard !== undefined) await within(tx, { text: dialect.guard.begin, values: [] })
      if (end.hasCome) return
      const running = lend === undefined ? work(tx) : lend(tx, work, end)
      settled = running.catch(() => undefined)
      done = await running
      const refused = await begun
      if (end.hasCome) return
      if (refused !== undefined) throw refused.error
      await mustBeWhole(library, tx, done.last)
      if (done.last !== undefined) await mustHold(done.last, (last) => within(tx, last), dialect)
    } catch (thrown) {
      if (end.hasCome) return
      // What was sent behind a refused one was refused for its sake.
      const refused = await begun
      const error = refused === undefined ? thrown : refused.error
      const isKnown = error instanceof RolledBackError || (await isAlive(library, tx))
      if (end.hasCome) return
      failure = isKnown ? error : new ConnectionLostError(error)
      throw failure
    }
    step = 'committing'
  }
  try {
    await open(async (tx) => {
      step = 'working'
      await worked(tx)
      // Told that it is over, the library would send COMMIT, on what is another's connection by now.
      if (end.hasCome) await never()
    })
  } catch (error) {
    if (step === 'working' && failure === undefined) {
      // The library gives up as soon as its session has ended, while the work goes on. No second try beside the first.
      end.come()
      await settled
      throw new ConnectionLostError(error)
    }
    throw reasonOf(error, { step, failure, dialect })
  }
  return (done as Closing<R>).value
}

/** A transaction in which a statement has failed refuses the next one, whoever swallowed the error. */
async function mustBeWhole<Tx>(
  { dialect: { guard }, within }: CallbackTransaction<Tx>,
  tx: Tx,
  next: Statement | undefined,
): Promise<void> {
  if (guard === undefined) return void (next ?? (await within(tx, PROBE)))
  try {
    await within(tx, { text: guard.end, values: [] })
  } catch (error) {
    throw guard.isGone(error) ? new RolledBackError() : error
  }
}

function isAlive<Tx>({ dialect, within }: CallbackTransaction<Tx>, tx: Tx): Promise<boolean> {
  return within(tx, PROBE).then(
    () => true,
    (error: unknown) => dialect.hasAnswered(error),
  )
}

interface Rejection {
  readonly step: 'opening' | 'working' | 'committing'
  readonly failure: unknown
  readonly dialect: Pick<Dialect, 'hasAnswered'>
}

function reasonOf(error: unknown, { step, failure, dialect }: Rejection): unknown {
  switch (step) {
    case 'opening':
      return new ConnectError(error)
    case 'working':
      return failure
    case 'committing':
      return dialect.hasAnswered(error) ? error : new CommitLostError(error)
  }
}

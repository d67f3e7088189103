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

/** How the library does it. */
export interface CallbackTransaction<Tx> {
  readonly dialect: Pick<Dialect, 'failureOf' | 'hasAnswered' | 'guard'>
  /** Opens a transaction at READ COMMITTED or the level that was asked for, runs `work`, commits. */
  readonly open: (work: (tx: Tx) => Promise<void>) => Promise<unknown>
  readonly within: (tx: Tx, statement: Statement) => Promise<Rows>
  /**
   * What the work gets: it refuses statements after the work has settled, and once the session is gone. Absent: the
   * library's own does.
   */
  readonly lend?: <R>(tx: Tx, work: (tx: Tx) => Promise<R>, isGone: () => boolean) => Promise<R>
}

const PROBE: Statement = { text: 'select 1 as alive', values: [] }

/**
 * Runs `work` in a transaction of the library.
 *
 * @throws as {@link Database.transaction} says
 */
export async function callbackTransaction<Tx, R>(
  { dialect, open, within, lend }: CallbackTransaction<Tx>,
  work: (tx: Tx) => Promise<Closing<R>>,
): Promise<R> {
  let step = 'opening' as Rejection['step']
  let done: Closing<R> | undefined
  let failure: unknown
  let isGone = false
  let settled: Promise<unknown> | undefined
  const { guard } = dialect
  const guarded = async (tx: Tx): Promise<void> => {
    if (guard !== undefined) await within(tx, { text: guard.begin, values: [] })
  }
  const mustBeWhole = async (tx: Tx): Promise<void> => {
    // A transaction in which a statement has failed refuses the next one, whoever swallowed the error.
    if (guard === undefined) return void (done?.last ?? (await within(tx, PROBE)))
    try {
      await within(tx, { text: guard.end, values: [] })
    } catch (error) {
      throw guard.isGone(error) ? new RolledBackError() : error
    }
  }
  const isAlive = (tx: Tx): Promise<boolean> =>
    within(tx, PROBE).then(
      () => true,
      (error: unknown) => dialect.hasAnswered(error),
    )
  const worked = async (tx: Tx): Promise<void> => {
    try {
      await guarded(tx)
      const running = lend === undefined ? work(tx) : lend(tx, work, () => isGone)
      settled = running.catch(() => undefined)
      done = await running
      if (isGone) return
      await mustBeWhole(tx)
      if (done.last !== undefined) await mustHold(done.last, (last) => within(tx, last), dialect)
    } catch (error) {
      if (isGone) return
      const isKnown = error instanceof RolledBackError || (await isAlive(tx))
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
      if (isGone) await NEVER
    })
  } catch (error) {
    if (step === 'working' && failure === undefined) {
      // The library gives up as soon as its session has ended, while the work goes on. No second try beside the first.
      isGone = true
      await settled
      throw new ConnectionLostError(error)
    }
    throw reasonOf(error, { step, failure, dialect })
  }
  return (done as Closing<R>).value
}

const NEVER = new Promise<never>(() => undefined)

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

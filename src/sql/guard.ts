/**
 * How to tell that a transaction is still the one that was begun. In MySQL a deadlock and any DDL end it, in SQLite an
 * error of the disk does; whoever goes on then, goes on in autocommit. A savepoint is gone with its transaction.
 */
import { unwrapped } from './wrapped-error.ts'

/** Sent behind BEGIN, and before the last statement. */
export interface Guard {
  readonly begin: string
  readonly end: string
  /** What `end` threw says that there is no such savepoint. */
  isGone(error: unknown): boolean
}

const NO_SUCH_SAVEPOINT = 1305

/** Of MySQL and SQLite. */
export const SAVEPOINT: Guard = {
  begin: 'savepoint pawl',
  end: 'release savepoint pawl',
  isGone: (error) => {
    for (const { errno, originalCode, originalMessage, message } of unwrapped(error)) {
      const number = errno ?? Number(originalCode)
      const said = String(originalMessage ?? message)
      if (number === NO_SUCH_SAVEPOINT || /no such savepoint/.test(said)) return true
    }
    return false
  },
}

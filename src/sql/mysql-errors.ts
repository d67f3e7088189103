/**
 * What the errors of MySQL and MariaDB say: https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html,
 * https://mariadb.com/kb/en/mariadb-error-codes/
 */
import type { Failure } from './dialect.ts'
import { unwrapped } from './wrapped-error.ts'

/**
 * Deadlock (of Galera, a conflict at COMMIT too), lock wait, NOWAIT, changed since the snapshot, interrupted, out of
 * time, table changed. A lock wait rolls back its statement alone: the transaction is always rolled back for it.
 */
const ABORTED: ReadonlySet<number> = new Set([1213, 1205, 3572, 1020, 1317, 3024, 1969, 1412])

/** The session ends, or nobody knows: shutdown, killed, error during commit, a node that has left its cluster. */
const ENDS: ReadonlySet<number> = new Set([1053, 1927, 1080, 1152, 1180, 1047])

/** Too many connections, of all or of one; read-only; disk or table full. */
const UNAVAILABLE: ReadonlySet<number> = new Set([1040, 1203, 1226, 1290, 1836, 1792, 1021, 1114])

/** The numbers that the driver `mariadb` gives its own errors begin here. */
const DRIVERS_OWN = 45_000

const NO_SUCH_TABLE = 1146
const NO_SUCH_COLUMN = 1054

/** What it says about the statement it answered. */
export function failureOf(error: unknown): Failure {
  const number = numberOf(error)
  if (number === undefined || ENDS.has(number) || UNAVAILABLE.has(number)) return 'unavailable'
  if (ABORTED.has(number)) return 'aborted'
  if (number === NO_SUCH_TABLE || number === NO_SUCH_COLUMN) return 'not_migrated'
  return 'refused'
}

/** True when the server itself said that the statement failed and the session goes on: nothing is in doubt. */
export function hasAnswered(error: unknown): boolean {
  const number = numberOf(error)
  return number !== undefined && !ENDS.has(number)
}

/** The server's own errors have a number and an SQLSTATE that is not a connection's; a driver's have neither. */
function numberOf(error: unknown): number | undefined {
  for (const one of unwrapped(error)) {
    const { errno, sqlState, sqlstate, fatal, originalCode } = one
    if (typeof originalCode === 'string') return numberOfPrisma(Number(originalCode), one['state'])
    if (typeof errno !== 'number' || errno < 1000) continue
    const state = sqlState ?? sqlstate
    if (fatal === true || typeof state !== 'string' || state.startsWith('08')) return undefined
    return errno
  }
  return undefined
}

/** Prisma keeps of its driver's error the number, and the SQLSTATE where it has no word of its own for the number. */
function numberOfPrisma(number: number, state: unknown): number | undefined {
  const isOfConnection = typeof state === 'string' && state.startsWith('08')
  return number < DRIVERS_OWN && !isOfConnection ? number : undefined
}

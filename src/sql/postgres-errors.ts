/** What the errors of PostgreSQL say: https://www.postgresql.org/docs/current/errcodes-appendix.html */
import type { LimitName } from './database.ts'
import type { Failure } from './dialect.ts'
import { unwrapped } from './wrapped-error.ts'

/**
 * Serialization failure, deadlock, lock timeout, cancel; and a prepared statement that a pooler has left on another
 * server connection (26000, 42P05): none of them has done anything.
 */
const ABORTED: ReadonlySet<string> = new Set(['40001', '40P01', '55P03', '57014', '26000', '42P05'])

/** What it says about the statement it answered. */
export function failureOf(error: unknown): Failure {
  const code = sqlState(error)
  if (code === undefined) return 'unavailable'
  if (code === '22012') return 'fenced'
  if (code === '25P02') return 'failed_inside'
  if (code === '42P01' || code === '42703' || code === '3F000') return 'not_migrated'
  if (ABORTED.has(code)) return 'aborted'
  if (code.startsWith('08') || code.startsWith('57P') || code.startsWith('53')) return 'unavailable'
  if (/^(?:40003|25006|25P0[34])$/.test(code)) return 'unavailable'
  return 'refused'
}

/** Connection exceptions, operator intervention but a cancel, session timeouts, system and internal errors. */
const SESSION_ENDS = /^(?:08|57P|58|XX|25P03|25P04)/

/**
 * True when the server itself said that the statement failed and the session goes on. Not so when the session ends
 * (FATAL, PANIC): a server that is being shut down may have committed before it says so; nor is CockroachDB's 40003,
 * "result is ambiguous". The severity is in the server's language (`lc_messages`), so the code decides too.
 */
export function hasAnswered(error: unknown): boolean {
  const code = sqlState(error)
  if (code === undefined || code === '40003') return false
  for (const { severity } of unwrapped(error)) {
    if (severity === 'FATAL' || severity === 'PANIC') return false
    if (severity === 'ERROR') return true
  }
  return !SESSION_ENDS.test(code)
}

/**
 * Which limit of a stage may have been over: a lock that was not had (NOWAIT says the same), a statement that was
 * cancelled (by whomever), a session that ended. Node-postgres tells an ended session by an error without a code.
 */
export function limitOf(error: unknown): LimitName | undefined {
  switch (sqlState(error)) {
    case '55P03':
      return 'lock'
    case '57014':
      return 'statement'
    case '25P03':
    case undefined:
      return 'idle'
    default:
      return undefined
  }
}

/** Five characters, of the error or of what it wraps. A system error (ECONNRESET) has a code of another form. */
function sqlState(error: unknown): string | undefined {
  for (const { code, originalCode } of unwrapped(error)) {
    if (isSqlState(originalCode)) return originalCode
    if (isSqlState(code)) return code
  }
  return undefined
}

function isSqlState(code: unknown): code is string {
  return (
    typeof code === 'string' &&
    /^[0-9A-Z]{5}$/.test(code) &&
    !/^E[A-Z]{4}$/.test(code) &&
    !PRISMA.test(code)
  )
}

/** Prisma's own codes have five characters too; what the database said is in its `meta`. */
const PRISMA = /^P[1-6]\d{3}$/

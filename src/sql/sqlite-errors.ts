/** What the errors of SQLite say: https://www.sqlite.org/rescode.html */
import type { Failure } from './dialect.ts'
import { unwrapped } from './wrapped-error.ts'

const ERROR = 1
/** Another connection has the file, or a table of this one. */
const BUSY = new Set([5, 6])
/** Memory, interrupt, read-only, input or output, corrupt, disk full, cannot open, protocol, not a database. */
const UNAVAILABLE = new Set([7, 8, 9, 10, 11, 13, 14, 15, 26])
const NAMES: Readonly<Record<string, number>> = {
  SQLITE_ERROR: 1,
  SQLITE_BUSY: 5,
  SQLITE_LOCKED: 6,
  SQLITE_NOMEM: 7,
  SQLITE_READONLY: 8,
  SQLITE_INTERRUPT: 9,
  SQLITE_IOERR: 10,
  SQLITE_CORRUPT: 11,
  SQLITE_FULL: 13,
  SQLITE_CANTOPEN: 14,
  SQLITE_PROTOCOL: 15,
  SQLITE_NOTADB: 26,
}

/** What it says about the statement it answered. */
export function failureOf(error: unknown): Failure {
  const found = resultOf(error)
  if (found === undefined) return 'unavailable'
  const { result, message } = found
  if (BUSY.has(result)) return 'aborted'
  if (UNAVAILABLE.has(result)) return 'unavailable'
  if (result === ERROR && /no such (?:table|column)|has no column/.test(message))
    return 'not_migrated'
  return 'refused'
}

/** True when the statement failed and nothing is in doubt. */
export function hasAnswered(error: unknown): boolean {
  const result = resultOf(error)?.result
  return result !== undefined && !UNAVAILABLE.has(result)
}

/** The primary result code. Drivers say it as `SQLITE_BUSY_SNAPSHOT` or as a number whose low byte it is. */
function resultOf(error: unknown): { result: number; message: string } | undefined {
  for (const one of unwrapped(error)) {
    const { errcode, rawCode, originalCode, originalMessage } = one
    // Prisma keeps what its driver said under names of its own.
    const code = originalCode ?? one['code']
    const said = String(originalMessage ?? one['message'])
    const extended = [errcode, rawCode].find((each) => typeof each === 'number' && each > 0)
    if (typeof extended === 'number') return { result: extended & 0xff, message: said }
    if (typeof code !== 'string' || !code.startsWith('SQLITE_')) continue
    const name = Object.keys(NAMES).find((each) => code === each || code.startsWith(`${each}_`))
    // Any other name of SQLite is an answer: a constraint, a type, a misuse.
    return { result: name === undefined ? 19 : (NAMES[name] ?? ERROR), message: said }
  }
  return undefined
}

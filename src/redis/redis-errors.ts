/** What an error of a client or a server of Redis means to the core. None of them goes further. */
import { StoreFailedError, StoreUnavailableError } from '../core/errors.ts'

/** A server's refusal: its code in capitals, then words. Everything else a client made itself: no answer. */
const REFUSED = /^(?<code>[A-Z]{2,}) /

/** A server that starts, fails over, or has no room says so, and may not later. */
const LATER: ReadonlySet<string> = new Set([
  'ASK',
  'BUSY',
  'CLUSTERDOWN',
  'LOADING',
  'MASTERDOWN',
  'MISCONF',
  'MOVED',
  'NOREPLICAS',
  'OOM',
  'READONLY',
  'TRYAGAIN',
])

export function errorOf(doing: string, error: unknown): StoreUnavailableError | StoreFailedError {
  const message = error instanceof Error ? error.message : String(error)
  const code = REFUSED.exec(message)?.groups?.['code']
  return code === undefined || LATER.has(code)
    ? new StoreUnavailableError(doing, error)
    : new StoreFailedError(doing, error)
}

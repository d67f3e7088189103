/**
 * Problems: what a client is told when Pawl itself answers (RFC 9457). Fixed texts by code, so that nothing of a key, a
 * body or another caller can be in them.
 * docs/reference/errors.md has an entry for each code.
 */
import { type Code, CODES } from '../core/codes.ts'
import { PawlError } from '../core/errors.ts'
import type { Header, WholeResponse } from '../core/outcome.ts'

/** The codes a client meets. */
export type ProblemCode = Extract<
  Code,
  | 'key_missing'
  | 'key_invalid'
  | 'body_too_large'
  | 'in_progress'
  | 'payload_mismatch'
  | 'outcome_unknown'
  | 'attempts_exhausted'
  | 'response_not_stored'
  | 'store_unavailable'
  | 'recovery_point_unknown'
  | 'version_unknown'
  | 'call_timeout'
>

/** The body of a problem. */
export interface Problem {
  /** A stable URI for the code: `urn:pawl:problem:<code>`, or `<docs>#<code>`. */
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: ProblemCode
  /** The same request with the same key may succeed later. */
  readonly retryable: boolean
  /** Asking again under a new key cannot double an effect. */
  readonly safe_new_key: boolean
  /** The record's id, where one is known: give it to support, find it in the logs. */
  readonly operation_ref?: string
}

/** What is known of one problem beside its code. */
export interface ProblemFacts {
  readonly code: ProblemCode
  readonly docs?: string | undefined
  readonly id?: string | undefined
  /** Instead of the code's own text. */
  readonly detail?: string | undefined
  /** Instead of the code's own status. */
  readonly status?: number | undefined
  readonly retryAfterMs?: number | undefined
  readonly headers?: readonly Header[]
}

const DRAFT = 'https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/'
/** How long a client waits for a store to come back; its next try is cheap and refused early. */
const UNAVAILABLE_RETRY_MS = 5_000
const TAKEN_OVER_RETRY_MS = 1_000

const DETAILS: Readonly<Record<ProblemCode, string>> = {
  key_missing:
    'Send a fresh key for each logical request, for example a UUID, and the same key when it is sent again.',
  key_invalid: 'The key cannot be used.',
  body_too_large: 'The request was not executed.',
  in_progress:
    'The first request with this key is still being worked on. Send the same request again after Retry-After.',
  payload_mismatch:
    'The first request with this key was another one. It was not changed. Use a new key for a new request.',
  outcome_unknown:
    'Part of this request was sent to another system, and its answer was not learned. It is not sent again; ' +
    'someone has to find out. Ask support, and quote operation_ref.',
  attempts_exhausted:
    'This request was tried again and again, and given up; what was committed of it stays. Someone has to look. ' +
    'Ask support, and quote operation_ref.',
  response_not_stored:
    'This request was finished before. Its response was too large to keep, and it is not executed again.',
  store_unavailable:
    'Nothing is known to have been lost. Send the same request with the same key again.',
  recovery_point_unknown:
    'An earlier attempt was made by another version of this service. Nothing was executed now.',
  version_unknown:
    'An earlier attempt was made by another version of this service, which goes on with it. Nothing was executed ' +
    'now. Send the same request again after Retry-After.',
  call_timeout:
    'Another system did not answer in time. Send the same request with the same key again; stages that were ' +
    'committed are not repeated.',
}

/** A problem as a response: never stored, never cached. */
export function problemOf(facts: ProblemFacts): WholeResponse {
  const { code, docs, id, retryAfterMs } = facts
  const { title, status, retryable, safeNewKey } = CODES[code]
  const problem: Problem = {
    type: docs === undefined ? `urn:pawl:problem:${code}` : anchored(docs, code),
    title,
    status: facts.status ?? status,
    detail: facts.detail ?? DETAILS[code],
    code,
    retryable,
    safe_new_key: safeNewKey,
    ...(id === undefined ? {} : { operation_ref: id }),
  }
  const headers: Header[] = [
    ['content-type', 'application/problem+json'],
    ['cache-control', 'no-store'],
    ...(facts.headers ?? []),
  ]
  if (retryAfterMs !== undefined) headers.push(['retry-after', seconds(retryAfterMs)])
  if (code === 'key_missing' || code === 'key_invalid')
    headers.push(['link', `<${docs ?? DRAFT}>; rel="describedby"; type="text/html"`])
  return { status: problem.status, headers, body: Buffer.from(JSON.stringify(problem)) }
}

/**
 * What a client is told about an error. Undefined for the mistakes of a programmer and for the application's own
 * errors: those are the framework's to handle.
 */
export function problemOfError(error: unknown): ProblemFacts | undefined {
  if (!PawlError.is(error)) return undefined
  const { id } = error
  switch (error.code) {
    case 'lease_lost':
      return { code: 'in_progress', id, retryAfterMs: TAKEN_OVER_RETRY_MS }
    case 'closed':
    case 'stage_aborted':
    case 'store_not_migrated':
    case 'store_unavailable':
      return { code: 'store_unavailable', id, retryAfterMs: UNAVAILABLE_RETRY_MS }
    case 'version_unknown':
      return { code: error.code, id, retryAfterMs: UNAVAILABLE_RETRY_MS }
    case 'outcome_unknown':
    case 'recovery_point_unknown':
    case 'call_timeout':
      return { code: error.code, id }
    case 'key_missing':
    case 'key_invalid':
    case 'body_too_large':
    case 'in_progress':
    case 'payload_mismatch':
    case 'attempts_exhausted':
    case 'response_not_stored':
    case 'store_failed':
    case 'transaction_failed_inside':
    case 'transaction_ended':
    case 'outside_transaction':
    case 'record_not_found':
    case 'record_state':
    case 'key_not_found':
    case 'key_ambiguous':
    case 'result_not_json':
    case 'step_misused':
    case 'run_missing':
    case 'scope_missing':
    case 'config_invalid':
    case 'internal_error':
    case 'invariant_violated':
      return undefined
  }
}

function anchored(docs: string, code: ProblemCode): string {
  const url = new URL(docs)
  url.hash = code
  return url.href
}

/** Whole seconds, rounded up: a client that came back early would only be refused again. */
function seconds(ms: number): string {
  return String(Math.max(1, Math.ceil(ms / 1_000)))
}

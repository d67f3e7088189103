/**
 * Every code a caller can meet, with what it means to an HTTP client. The same code is the error's `code`, the
 * problem's `code` and the anchor in docs/reference/errors.md. Codes are never reused.
 */

/** What a client may do about a code. */
export interface CodeFacts {
  /** One line for people; the problem's `title`. */
  readonly title: string
  /** The HTTP status it is answered with. */
  readonly status: number
  /** The same request with the same key may succeed later. */
  readonly retryable: boolean
  /** Asking again under a new key cannot double an effect. */
  readonly safeNewKey: boolean
}

/** A stable code; the anchor of its entry in docs/reference/errors.md. */
export type Code =
  | 'key_missing'
  | 'key_invalid'
  | 'key_not_found'
  | 'key_ambiguous'
  | 'body_too_large'
  | 'in_progress'
  | 'payload_mismatch'
  | 'outcome_unknown'
  | 'attempts_exhausted'
  | 'response_not_stored'
  | 'store_unavailable'
  | 'recovery_point_unknown'
  | 'version_unknown'
  | 'record_not_found'
  | 'record_state'
  | 'lease_lost'
  | 'stage_aborted'
  | 'closed'
  | 'store_not_migrated'
  | 'store_failed'
  | 'transaction_failed_inside'
  | 'transaction_ended'
  | 'call_timeout'
  | 'outside_transaction'
  | 'result_not_json'
  | 'step_misused'
  | 'run_missing'
  | 'scope_missing'
  | 'config_invalid'
  | 'internal_error'
  | 'invariant_violated'

/** The table of codes. */
export const CODES: Readonly<Record<Code, CodeFacts>> = {
  key_missing: fact('The Idempotency-Key header is required', 400, false, true),
  key_invalid: fact('The Idempotency-Key header is not valid', 400, false, true),
  key_not_found: fact('There is no such idempotency key', 404, false, true),
  key_ambiguous: fact('Several idempotency keys are meant', 400, false, false),
  body_too_large: fact('The request body is too large to be protected', 413, false, true),
  in_progress: fact('A request with this idempotency key is in progress', 409, true, false),
  payload_mismatch: fact('This idempotency key was used for another request', 422, false, true),
  outcome_unknown: fact('The outcome of this request is not known', 409, false, false),
  attempts_exhausted: fact('This request was given up', 409, false, false),
  response_not_stored: fact('The request is done; its response was not kept', 409, false, false),
  store_unavailable: fact('The idempotency store is unavailable', 503, true, false),
  recovery_point_unknown: fact('This request cannot be resumed by this version', 409, false, false),
  version_unknown: fact('This request was begun by another version', 409, true, false),
  record_not_found: fact('There is no such record', 404, false, false),
  record_state: fact('The record is in another state', 409, false, false),
  lease_lost: fact('Another attempt has taken over this request', 409, true, false),
  stage_aborted: fact('The database kept aborting this request', 503, true, false),
  closed: fact('The server is shutting down', 503, true, false),
  store_not_migrated: fact('The idempotency table is missing or old', 503, true, false),
  store_failed: fact('The idempotency store refused a statement', 500, true, false),
  transaction_failed_inside: fact('A stage went on after a failed statement', 500, true, false),
  transaction_ended: fact('A statement came after its stage', 500, true, false),
  call_timeout: fact('An external call took too long', 504, true, false),
  outside_transaction: fact('A stage did not use its transaction', 500, false, false),
  result_not_json: fact('A stage or call returned something that is not JSON', 500, false, false),
  step_misused: fact(
    'Stages and calls were used in a way that cannot be resumed',
    500,
    false,
    false,
  ),
  run_missing: fact('There is no run here', 500, false, true),
  scope_missing: fact('The scope of this request is not known', 500, false, true),
  config_invalid: fact('Pawl is configured wrongly', 500, false, true),
  internal_error: fact('The request failed', 500, false, false),
  invariant_violated: fact('Pawl stopped itself', 500, false, false),
}

function fact(title: string, status: number, retryable: boolean, safeNewKey: boolean): CodeFacts {
  return { title, status, retryable, safeNewKey }
}

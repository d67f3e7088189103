/**
 * The errors of the service. Each has the `type` by which Medusa's error handler picks a status, and a `code` that this
 * handler does not know: it reads some codes as those of the database.
 */
import { PawlError } from '../core/errors.ts'

/** What Medusa v1's error handler maps: 404, 409, 400. */
export type ErrorType = 'not_found' | 'conflict' | 'invalid_data'

/** There is no such key. */
export class IdempotencyKeyNotFoundError extends PawlError {
  override readonly name = 'IdempotencyKeyNotFoundError'
  readonly type: ErrorType = 'not_found'
  constructor(what: string) {
    super('key_not_found', `${what} was not found; call initializeRequest or create first.`)
  }
}

/** More than one key is meant. */
export class IdempotencyKeyAmbiguousError extends PawlError {
  override readonly name = 'IdempotencyKeyAmbiguousError'
  readonly type: ErrorType = 'invalid_data'
  constructor() {
    super('key_ambiguous', 'several keys match this selector; name the key itself.')
  }
}

/** Another request works on the key, or has taken it over. */
export class IdempotencyKeyConflictError extends PawlError {
  override readonly name = 'IdempotencyKeyConflictError'
  readonly type: ErrorType = 'conflict'
  constructor(code: 'in_progress' | 'lease_lost', key: { readonly id?: string }) {
    const why =
      code === 'in_progress'
        ? 'another request holds this key; answer 409 and let the client send the same request again.'
        : 'another attempt has taken over this key; nothing of this one was kept. Answer 409.'
    super(code, why, key.id === undefined ? {} : { id: key.id })
  }
}

/** The key was used for another request. */
export class IdempotencyKeyMismatchError extends PawlError {
  override readonly name = 'IdempotencyKeyMismatchError'
  readonly type: ErrorType = 'invalid_data'
  constructor(id: string) {
    super(
      'payload_mismatch',
      'this key was used for another method, path or params; use a new key for a new request. The original service ' +
        'answered with the first response: `static options = { mismatch: "ignore" }` does too.',
      { id },
    )
  }
}

/** A recovery point that nobody knows, or that cannot be one. */
export class RecoveryPointError extends PawlError {
  override readonly name = 'RecoveryPointError'
  readonly type: ErrorType = 'invalid_data'
  constructor(point: unknown, id?: string) {
    super(
      'recovery_point_unknown',
      `${JSON.stringify(point) ?? String(point)} is no recovery point that this code knows: expected a name of 1 to ` +
        '100 characters for which the route has a branch.',
      id === undefined ? {} : { id },
    )
  }
}

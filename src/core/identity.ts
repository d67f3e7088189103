/**
 * Who a record is: the id is a digest of scope, operation and key, so that no collation, length or case rule of any
 * database can merge two keys. It is safe to log, it is the `operation_ref` told to clients, and downstream keys grow
 * from it.
 */
import { ConfigError, KeyInvalidError } from './errors.ts'
import { digestOf } from './length-prefixed.ts'

const OPERATION = /^[A-Za-z][A-Za-z0-9._-]{0,99}$/
const STEP = /^[A-Za-z][A-Za-z0-9._-]{0,99}$/
const KEY = /^[\x20-\x7e]+$/
const KEY_LENGTH_MAX = 255
const SCOPE_LENGTH_MAX = 1_024

/** What names one logical request. */
export interface Identity {
  readonly scope: string
  readonly operation: string
  readonly key: string
}

/**
 * The record's id: `ikey_` and the first 32 hex digits (128 bits) of SHA-256 over the length-prefixed parts.
 * Length prefixes, so that ("ab", "c") and ("a", "bc") never meet.
 */
export function idOf(identity: Identity): string {
  return `ikey_${digest([identity.scope, identity.operation, identity.key])}`
}

/**
 * The key to give to a called system: 37 characters, which every provider accepts (PayPal allows 38, Adyen 64).
 * It grows from the execution as well as from the id: a key that is used again after its retention is a new request
 * (conformance 32), and must not be answered with the old charge by a provider that remembers longer than we do.
 *
 * @param execution - the record's creation instant, as the store wrote it; equal in all attempts of one execution
 */
export function downstreamKeyOf(id: string, execution: string, call: string): string {
  return `call_${digest([id, execution, call])}`
}

/**
 * One text for a scope of one or several parts. Injective: `'a'` and `['a']` are one scope, `'["a","b"]'` and
 * `['a', 'b']` are two.
 *
 * @returns undefined when the scope is empty, too long (1,024), or holds text no database can store
 */
export function scopeText(scope: string | readonly string[]): string | undefined {
  const parts: readonly unknown[] = typeof scope === 'string' ? [scope] : scope
  if (!Array.isArray(parts) || parts.length === 0) return undefined
  for (const part of parts as readonly unknown[]) {
    if (typeof part !== 'string' || part.length === 0) return undefined
    if (part.includes('\0') || !part.isWellFormed()) return undefined
  }
  const [only = ''] = parts as readonly string[]
  const text = parts.length === 1 && !only.startsWith('[') ? only : JSON.stringify(parts)
  return text.length <= SCOPE_LENGTH_MAX ? text : undefined
}

/** @throws {@link ConfigError} the name cannot be an operation's */
export function checkOperation(operation: unknown): asserts operation is string {
  if (typeof operation !== 'string' || !OPERATION.test(operation)) {
    throw new ConfigError(
      `operation: expected a stable name like 'create-ride' (a letter, then letters, digits, ".", "_", "-"; ` +
        `at most 100), got ${JSON.stringify(operation)}.`,
    )
  }
}

/** True when `name` can be a stage's or a call's: a letter first, so that it is never an index or `__proto__`. */
export function isStepName(name: string): boolean {
  return STEP.test(name) && name !== 'started' && name !== 'finished'
}

/**
 * @param lengthMax - characters; 255 unless told otherwise (Stripe v1)
 * @throws {@link KeyInvalidError} not 1 to `lengthMax` printable ASCII characters, or blank
 */
export function checkKey(key: string, lengthMax: number = KEY_LENGTH_MAX): void {
  if (key.trim() === '')
    throw new KeyInvalidError('the key is empty; send a fresh UUID for each logical request.')
  if (key.length > lengthMax) {
    throw new KeyInvalidError(
      `the key has ${key.length} characters; at most ${lengthMax} are allowed.`,
    )
  }
  if (!KEY.test(key)) {
    throw new KeyInvalidError('the key holds characters outside printable ASCII (0x20 to 0x7E).')
  }
}

function digest(parts: readonly string[]): string {
  return digestOf(parts).slice(0, 32)
}

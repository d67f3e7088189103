/**
 * What a stage or call may return: JSON, because a later attempt gets it back from the store. Checked twice: by the
 * compiler where the type is known, and at run time before anything commits.
 */
import { ResultNotJsonError } from './errors.ts'

/** Any JSON value. */
export type Json =
  string | number | boolean | null | readonly Json[] | { readonly [member: string]: Json }

/** What the compiler shows in place of a value that JSON cannot carry. */
export interface NotJson<Why extends string> {
  readonly 'this is not JSON': Why
}

/**
 * `T` where JSON carries it unchanged, else a {@link NotJson} that says why. `any` and `unknown` pass the compiler and
 * are checked at run time.
 */
export type JsonOnly<T> = unknown extends T
  ? T
  : T extends string | number | boolean | null | undefined | void
    ? T
    : T extends bigint
      ? NotJson<'a bigint is lost in JSON: return String(value)'>
      : T extends symbol
        ? NotJson<'a symbol is lost in JSON'>
        : T extends Date
          ? NotJson<'a Date comes back as a string: return date.toISOString()'>
          : T extends ReadonlyMap<unknown, unknown> | ReadonlySet<unknown>
            ? NotJson<'a Map or Set comes back empty: return an array or an object'>
            : T extends ArrayBuffer | ArrayBufferView
              ? NotJson<'bytes are not JSON: return a string, for example base64'>
              : T extends (...args: never) => unknown
                ? NotJson<'a function is lost in JSON, and so are the methods of a class instance: return plain data'>
                : T extends object
                  ? { [Member in keyof T]: JsonOnly<T[Member]> }
                  : T

/** A value and the JSON text it is stored as; both absent when there is none (`undefined`). */
export interface JsonResult {
  readonly text: string | undefined
  /** The value as every later attempt will see it: `text`, parsed. */
  readonly value: unknown
}

/**
 * Makes a result what a later attempt would get, so that the first attempt sees the very same.
 * An object with `toJSON` (a Date among `any` rows, a Decimal) is taken as what it says of itself.
 *
 * @throws {@link ResultNotJsonError} something in it would be lost or changed silently
 */
export function jsonResult(step: string, value: unknown): JsonResult {
  if (value === undefined) return { text: undefined, value: undefined }
  let text: string | undefined
  try {
    text = JSON.stringify(value, function (this: Record<string, unknown>, member, seen: unknown) {
      // The member itself too, not only what its toJSON made of it: a Buffer becomes an object of numbers.
      const lost = whyLost(seen) ?? whyLost(this[member])
      if (lost === undefined) return seen
      throw new ResultNotJsonError(step, member === '' ? 'it' : `member "${member}"`, lost)
    })
  } catch (error) {
    if (error instanceof ResultNotJsonError) throw error
    throw new ResultNotJsonError(step, 'it', error instanceof Error ? error.message : String(error))
  }
  return text === undefined ? { text, value: undefined } : { text, value: JSON.parse(text) }
}

/**
 * A JSON value for somebody else: what the application changes in a result is not changed in what is recorded of it.
 */
export function copyOf(value: unknown): unknown {
  return typeof value === 'object' && value !== null ? JSON.parse(JSON.stringify(value)) : value
}

function whyLost(value: unknown): string | undefined {
  if (typeof value === 'number' && !Number.isFinite(value))
    return `${value}, which JSON turns into null`
  if (typeof value === 'bigint' || typeof value === 'symbol' || typeof value === 'function')
    return `a ${typeof value}`
  if (value instanceof Map || value instanceof Set) return 'a Map or Set, which JSON empties'
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return 'bytes'
  return undefined
}

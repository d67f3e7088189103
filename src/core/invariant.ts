/**
 * Assertions about the protocol itself. They stay on in production: a broken invariant must stop the request before
 * it commits anything, because the alternative is a second effect.
 */
import { InvariantError } from './errors.ts'

/**
 * Throws when a fact the protocol rests on does not hold.
 *
 * @param fact - what must be true
 * @param name - the invariant in words, opened by its number where it has one ("I5 a fenced holder never commits")
 * @param detail - ids and numbers only; never a key, a body or a parameter
 * @throws {@link InvariantError} the fact does not hold: a defect in Pawl or a hand-edited row
 */
export function invariant(
  fact: boolean,
  name: string,
  detail: Readonly<Record<string, string | number | undefined>> = {},
): asserts fact {
  if (!fact) throw new InvariantError(name, detail)
}

/** Refuses, when a store is made, a kind of database that its library can reach and Pawl has no dialect for. */
import { ConfigError } from '../core/errors.ts'
import type { Dialect } from './dialect.ts'

/** @throws {@link ConfigError} `kind` is not among `kinds` */
export function supported(factory: string, kind: string, kinds: readonly string[]): void {
  if (kinds.includes(kind)) return
  throw new ConfigError(
    `${factory}: there is no dialect for ${JSON.stringify(kind)}; expected ${kinds.join(' or ')}. ` +
      `Give Pawl a connection of that kind, in the database that holds the application's rows.`,
  )
}

/** The dialect of a kind. @throws {@link ConfigError} `kind` is not among `kinds` */
export function dialectOf(
  factory: string,
  kind: string,
  kinds: Readonly<Record<string, Dialect>>,
): Dialect {
  supported(factory, kind, Object.keys(kinds))
  return kinds[kind] as Dialect
}

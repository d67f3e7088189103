/**
 * Erasure over SQL: what is the same in all dialects; their statements are in erase-postgres.ts, erase-mysql.ts and
 * erase-sqlite.ts. A tombstone is a row like any other, of which nothing is left but its id.
 * Decisions: ADR 0027.
 */
import { ERASED, FINISHED, stagesText } from '../core/record.ts'
import type { Erased, EraseInput } from '../core/store.ts'
import type { Rows } from './database.ts'
import { number, text } from './rows.ts'
import type { Steps } from './steps.ts'

/** What a tombstone has in the columns that are the same everywhere. */
export const TOMBSTONE: string = `
  state = 'finished', recovery_point = '${FINISHED}', stages = '${stagesText(new Map())}', revision = revision + 1,
  fingerprint = '${ERASED}', scope = '', idempotency_key = '', operation = '',
  request_method = null, request_path = null, request_params = null, version = null, principal = null,
  owner = null, locked_at = null, locked_until = null,
  response_code = coalesce(response_code, 200), response_headers = null, response_body = null`

/** Is none, and nobody works on it. */
export function erasableBy(lapsed: string): string {
  return `fingerprint <> '${ERASED}' and (state <> 'running' or ${lapsed})`
}

/**
 * Looks, and then erases by id, with the predicate checked again: between the two others are told what goes. The scope
 * is compared here as well, since not every collation tells `a` from `a` and a space. An id is of one scope for ever.
 */
export async function eraseNext(
  { erasable, erase }: Pick<Steps, 'erasable' | 'erase'>,
  input: EraseInput,
  asked: <R>(answer: Promise<R>) => Promise<R>,
): Promise<Erased> {
  const next = await asked(erasable(input))
  const ofScope = next.filter((row) => text(row, 'scope') === input.scope)
  const free = ofScope.filter((row) => number(row, 'is_free') === 1).map((row) => text(row, 'id'))
  const last = next.at(-1)
  const after = last && text(last, 'id')
  if (free.length === 0) return { ids: [], left: ofScope.length, after }
  await input.found?.(free)
  const rows: Rows = await asked(erase(free, input.tombstoneMs))
  const ids = rows.map((row) => text(row, 'id'))
  return { ids, left: ofScope.length - ids.length, after }
}

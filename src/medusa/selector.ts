/** What `retrieve` is asked for, as TypeORM finds it: a list of values is any of them, as Medusa has it. */
import { type FindOptionsWhere, In } from 'typeorm'
import type { IdempotencyKey, Selector } from './idempotency-key.ts'

/** The conditions of a key or a selector. */
export function findOf(
  wanted: string | Selector<IdempotencyKey>,
): FindOptionsWhere<IdempotencyKey> | FindOptionsWhere<IdempotencyKey>[] {
  if (typeof wanted === 'string') return { idempotency_key: wanted }
  return Array.isArray(wanted) ? wanted.map(whereOf) : whereOf(wanted)
}

function whereOf(selector: object): FindOptionsWhere<IdempotencyKey> {
  const entries = Object.entries(selector as Record<string, unknown>)
    .filter(([, value]) => value !== undefined)
    .map(([column, value]) => [column, Array.isArray(value) ? In(value as unknown[]) : value])
  return Object.fromEntries(entries) as FindOptionsWhere<IdempotencyKey>
}

/** What all instances of the service on one table share in this process: of these there are many, and short-lived. */
import type { DataSource, EntityManager } from 'typeorm'
import { RunnerQueries } from '../sql/runner-queries.ts'
import { Holds } from './holds.ts'
import type { IdempotencyKeyRepository } from './idempotency-key.ts'
import { dataSourceOf } from './joined-phase.ts'
import { KeyStore } from './key-store.ts'
import type { Settings } from './options.ts'
import { tableOf } from './table.ts'

/** One table's. */
export interface Shared {
  readonly queries: RunnerQueries
  readonly store: KeyStore
  readonly holds: Holds
}

const known = new WeakMap<DataSource, Map<string, Shared>>()

/** @param settings - of whoever comes first: leases are renewed for all instances together */
export function sharedOf(
  manager: EntityManager,
  repository: IdempotencyKeyRepository,
  settings: Settings,
): Shared {
  const dataSource = dataSourceOf(manager)
  const table = tableOf(repository)
  let tables = known.get(dataSource)
  if (tables === undefined) known.set(dataSource, (tables = new Map<string, Shared>()))
  let made = tables.get(table)
  if (made === undefined) {
    const queries = new RunnerQueries(dataSource, settings.prepare)
    const store = new KeyStore(queries, table, dataSource.options.type === 'postgres')
    made = { queries, store, holds: new Holds(store, settings) }
    tables.set(table, made)
  }
  return made
}

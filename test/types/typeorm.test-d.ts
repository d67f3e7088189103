/** Goal: with `typeormStore`, `tx` is TypeORM's own `EntityManager`, of 1.x and of 0.3, and levels are its names. */
import { expectTypeOf, test } from 'vitest'
import type { DataSource, EntityManager } from 'typeorm'
import type { DataSource as DataSource03, EntityManager as EntityManager03 } from 'typeorm03'
import { createIdempotency } from '../../src/index.ts'
import { typeormStore } from '../../src/databases/typeorm.ts'

declare const dataSource: DataSource
declare const dataSource03: DataSource03

test('tx is the EntityManager', () => {
  const run = createIdempotency({ store: typeormStore(dataSource) }).currentRun()
  void run.stage('a', (tx) => {
    expectTypeOf(tx).toEqualTypeOf<EntityManager>()
  })
  const run03 = createIdempotency({ store: typeormStore(dataSource03) }).currentRun()
  void run03.stage('a', (tx) => {
    expectTypeOf(tx).toEqualTypeOf<EntityManager03>()
  })
})

test('levels are those that PostgreSQL has', () => {
  const run = createIdempotency({ store: typeormStore(dataSource) }).currentRun()
  void run.stage('a', () => 1, { isolation: 'SERIALIZABLE' })
  // @ts-expect-error PostgreSQL takes it for READ COMMITTED
  void run.stage('b', () => 1, { isolation: 'READ UNCOMMITTED' })
})

/** What a dependency container is for: services by name, each request's own instance. */
import { idempotencyKeyRepository, IdempotencyKeyService } from 'pawl/medusa'
import type { DataSource, EntityManager } from 'typeorm'

/** The names of this shop. */
export interface ShopContainer {
  resolve(name: 'idempotencyKeyService'): IdempotencyKeyService
  resolve(name: 'manager'): EntityManager
}

/** A container of one data source. */
export function containerOf(dataSource: DataSource): ShopContainer {
  const cradle = {
    manager: dataSource.manager,
    idempotencyKeyRepository: idempotencyKeyRepository(dataSource),
  }
  function resolve(name: 'idempotencyKeyService'): IdempotencyKeyService
  function resolve(name: 'manager'): EntityManager
  function resolve(name: string): unknown {
    return name === 'manager' ? cradle.manager : new IdempotencyKeyService(cradle)
  }
  return { resolve }
}

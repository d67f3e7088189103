/** A host of the service: a data source of one TypeORM, a table, a container. */
import * as typeorm from 'typeorm'
import * as typeorm03 from 'typeorm03'
import { inject } from 'vitest'
import {
  type IdempotencyKey,
  IdempotencyKeyService,
  migrate,
  type IdempotencyKeyServiceOptions,
} from '../../src/medusa/index.ts'

/** The lowest and the highest TypeORM of the peer range. */
export const TYPEORMS: readonly (readonly [name: string, lib: typeof typeorm])[] = [
  ['TypeORM 1', typeorm],
  ['TypeORM 0.3', typeorm03 as unknown as typeof typeorm],
]

/** What a test uses. */
export interface Host {
  readonly dataSource: typeorm.DataSource
  readonly table: string
  readonly repository: typeorm.Repository<IdempotencyKey>
  /** A fresh instance, as a container makes one for each request. */
  service(options?: IdempotencyKeyServiceOptions): IdempotencyKeyService
  sql<Row = Record<string, unknown>>(text: string, values?: unknown[]): Promise<Row[]>
  close(): Promise<void>
}

let tables = 0

/** The entity of a host that has one of its own: the same columns, another class, another copy of TypeORM. */
export function ownEntity(
  lib: typeof typeorm,
  tableName: string,
): typeorm.EntitySchema<IdempotencyKey> {
  return new lib.EntitySchema<IdempotencyKey>({
    name: 'TheHostsKey',
    tableName,
    columns: {
      id: { type: 'varchar', primary: true },
      idempotency_key: { type: 'varchar', unique: true },
      created_at: { type: 'timestamptz', createDate: true },
      locked_at: { type: 'timestamptz', nullable: true },
      request_method: { type: 'varchar', nullable: true },
      request_params: { type: 'jsonb', nullable: true },
      request_path: { type: 'varchar', nullable: true },
      response_code: { type: 'int', nullable: true },
      response_body: { type: 'jsonb', nullable: true },
      recovery_point: { type: 'varchar', default: 'started' },
    },
  })
}

/** Opens a host on a fresh table. */
export async function openHost(lib: typeof typeorm = typeorm, poolSize = 10): Promise<Host> {
  const table = `keys_${process.pid}_${String(++tables)}`
  const entity = ownEntity(lib, table)
  const dataSource = new lib.DataSource({
    type: 'postgres',
    url: inject('postgresUrl'),
    entities: [entity],
    extra: { max: poolSize },
  })
  await dataSource.initialize()
  await migrate(dataSource, { table })
  const sql = <Row>(text: string, values: unknown[] = []): Promise<Row[]> =>
    dataSource.query<Row[]>(text, values)
  await sql(`create table ${table}_effect (step text not null, note text)`)
  return {
    dataSource,
    table,
    repository: dataSource.getRepository(entity),
    sql,
    service: (options = {}) => {
      class Service extends IdempotencyKeyService {
        static override options = options
      }
      const container = {
        manager: dataSource.manager,
        idempotencyKeyRepository: dataSource.getRepository(entity),
      }
      return new Service(container)
    },
    close: async () => {
      await sql(`drop table ${table}, ${table}_effect`)
      await dataSource.destroy()
    },
  }
}

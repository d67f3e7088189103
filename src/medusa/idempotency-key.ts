/**
 * The entity of Medusa v1, its columns and no others, and what goes with it. It is registered with the host's own copy
 * of TypeORM; a host that has an entity of its own for the table uses that one.
 */
import {
  BeforeInsert,
  Column,
  CreateDateColumn,
  type DataSource,
  Entity,
  type FindOperator,
  Index,
  PrimaryColumn,
  type Repository,
} from 'typeorm'
import { keyId } from './ulid.ts'

/** One key, and how far its request is. */
export class IdempotencyKey {
  /** `ikey_` and a ULID. */
  declare id: string
  /** What the client sent, or was given. */
  declare idempotency_key: string
  declare created_at: Date
  declare locked_at: Date
  declare request_method: string
  declare request_params: Record<string, unknown>
  declare request_path: string
  declare response_code: number
  declare response_body: Record<string, unknown>
  /** The last stage that was committed; `started` before, `finished` after. */
  declare recovery_point: string

  /** Medusa's hook: an id for an entity that is saved without one. */
  protected beforeInsert(): void {
    this.id ??= keyId()
  }
}

// Called, not written as decorators: what erases types leaves decorators in place.
const { prototype } = IdempotencyKey
Entity({ name: 'idempotency_key' })(IdempotencyKey)
PrimaryColumn({ type: 'varchar' })(prototype, 'id')
Index({ unique: true })(prototype, 'idempotency_key')
Column({ type: 'varchar' })(prototype, 'idempotency_key')
CreateDateColumn({ type: 'timestamptz' })(prototype, 'created_at')
Column({ type: 'timestamptz', nullable: true })(prototype, 'locked_at')
Column({ type: 'varchar', nullable: true })(prototype, 'request_method')
Column({ type: 'jsonb', nullable: true })(prototype, 'request_params')
Column({ type: 'varchar', nullable: true })(prototype, 'request_path')
Column({ type: 'int', nullable: true })(prototype, 'response_code')
Column({ type: 'jsonb', nullable: true })(prototype, 'response_body')
Column({ type: 'varchar', default: 'started' })(prototype, 'recovery_point')
BeforeInsert()(prototype, 'beforeInsert')

/** What the service reads and writes: the columns above, of whatever class the host maps to the table. */
export type IdempotencyKeyRepository = Repository<IdempotencyKey>

/** The repository of the entity; register it as `idempotencyKeyRepository`. */
export function idempotencyKeyRepository(dataSource: DataSource): IdempotencyKeyRepository {
  return dataSource.getRepository(IdempotencyKey)
}

/** What `create` takes; a key is made up when there is none. */
export interface CreateIdempotencyKeyInput {
  request_method?: string
  request_params?: Record<string, unknown>
  request_path?: string
  idempotency_key?: string
}

/** What a stage hands back: the next recovery point, or the response that finishes the key. A recovery point wins. */
export interface IdempotencyCallbackResult {
  recovery_point?: string
  response_code?: number
  response_body?: Record<string, unknown>
}

/** What `retrieve` looks for: columns and their values, one of several values, or TypeORM's operators. */
export type Selector<TEntity> =
  | {
      [Member in keyof TEntity]?:
        TEntity[Member] | TEntity[Member][] | FindOperator<TEntity[Member]>
    }
  | {
      [Member in keyof TEntity]?:
        TEntity[Member] | TEntity[Member][] | FindOperator<TEntity[Member]>
    }[]

/** The table a repository is mapped to: of the host's own entity class, whatever its name. */
import { ConfigError } from '../core/errors.ts'
import { postgres } from '../sql/postgres.ts'
import { supported } from '../sql/supported.ts'

/** What is read of a repository. */
export interface MappedRepository {
  readonly metadata: {
    readonly tablePath: string
    readonly connection?: { readonly options: { readonly type: string } }
  }
}

const tables = new WeakMap<object, string>()

/**
 * The quoted name.
 *
 * @throws {@link ConfigError} the container holds no repository, or one of a kind of database that has no dialect
 */
export function tableOf(repository: MappedRepository | undefined): string {
  if (typeof repository?.metadata?.tablePath !== 'string') {
    throw new ConfigError(
      'idempotencyKeyRepository: expected the repository of the entity of the keys, for example ' +
        'idempotencyKeyRepository(dataSource) of pawl/medusa; register it in the container.',
    )
  }
  const { metadata } = repository
  let table = tables.get(metadata)
  if (table === undefined) {
    const type = metadata.connection?.options.type ?? 'postgres'
    supported('IdempotencyKeyService', type, ['postgres', 'cockroachdb'])
    table = postgres.quote(metadata.tablePath)
    tables.set(metadata, table)
  }
  return table
}

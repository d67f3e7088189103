/** The statements that make the table of `pawl/medusa`, adopt the one that Medusa v1 made, and give it back. */

/** What is added to the table of Medusa v1, each with a default or NULL: no rewrite, and the old code goes on. */
const ADDED: readonly (readonly [column: string, definition: string])[] = [
  ['scope', `text not null default ''`],
  ['operation', `text not null default ''`],
  ['state', `text not null default 'running'`],
  ['fingerprint', `text not null default ''`],
  ['owner', 'text'],
  ['attempt', 'int not null default 1'],
  ['revision', 'int not null default 0'],
  ['stages', `json not null default '{}'`],
  ['response_headers', 'json'],
  ['locked_until', 'timestamptz'],
  ['expires_at', 'timestamptz'],
  ['version', 'text'],
]

/** The statements that make, adopt and give back such a table. */
export interface KeyTableMigration {
  readonly create: readonly string[]
  readonly adopt: readonly string[]
  readonly revert: readonly string[]
}

/** The columns that Pawl needs beside the entity's. */
export const ADDED_COLUMNS: readonly string[] = ADDED.map(([column]) => column)

/** @param table - the quoted name */
export function keyTableMigration(table: string): KeyTableMigration {
  return {
    create: [
      `create table if not exists ${table} (
         id               varchar     not null primary key,
         idempotency_key  varchar     not null unique,
         created_at       timestamptz not null default now(),
         locked_at        timestamptz,
         request_method   varchar,
         request_params   jsonb,
         request_path     varchar,
         response_code    int,
         response_body    jsonb,
         recovery_point   varchar     not null default 'started'
       ) with (fillfactor = 70, vacuum_truncate = false)`,
      // Born a megabyte large (ADR 0016). A table of few pages is read as a whole, and a route that opens its stage
      // SERIALIZABLE then conflicts with every other request.
      `insert into ${table} (id, idempotency_key, request_path)
       select 'ikey_seed_' || n, 'seed_' || n, repeat('x', 300) from generate_series(1, 2600) n`,
      `delete from ${table} where id like 'ikey_seed_%'`,
    ],
    adopt: [
      `alter table ${table} ${ADDED.map((added) => `add column if not exists ${added.join(' ')}`).join(', ')}`,
    ],
    revert: [
      `alter table ${table} ${ADDED.map(([column]) => `drop column if exists ${column}`).join(', ')}`,
    ],
  }
}

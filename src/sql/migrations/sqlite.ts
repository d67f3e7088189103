/** The table of SQLite, version by version. Only ever added to: N and N+1 serve together. */
import type { Migration } from '../dialect.ts'

/** @param table - the quoted name */
export function sqliteMigrations(table: string): readonly Migration[] {
  const index = `"${table.replaceAll('"', '').slice(0, 48)}_expires_at"`
  return [
    {
      version: 1,
      note: 'Creates the table: the columns of Medusa v1, and what it lacked. Instants are milliseconds since 1970.',
      statements: [
        // strict: without it a column takes whatever type it is given.
        `create table ${table} (
           id               text    not null primary key,
           idempotency_key  text    not null,
           scope            text    not null,
           operation        text    not null,
           state            text    not null default 'running',
           fingerprint      text    not null,
           owner            text,
           attempt          integer not null default 1,
           revision         integer not null default 0,
           recovery_point   text    not null default 'started',
           stages           text    not null default '{}',
           request_method   text,
           request_path     text,
           request_params   text,
           response_code    integer,
           response_headers text,
           response_body    blob,
           created_at       integer not null,
           locked_at        integer,
           locked_until     integer,
           expires_at       integer not null,
           version          text
         ) strict`,
        `create index ${index} on ${table} (expires_at)`,
      ],
    },
  ]
}

/** The table of SQLite, version by version. Only ever added to: N and N+1 serve together. */
import { backlogOf } from '../backlog.ts'
import type { Migration } from '../dialect.ts'

/** @param table - the quoted name */
export function sqliteMigrations(table: string): readonly Migration[] {
  const name = table.replaceAll('"', '').slice(0, 48)
  const backlog = backlogOf(table)
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
        `create index "${name}_expires_at" on ${table} (expires_at)`,
      ],
    },
    {
      version: 2,
      note:
        'Adds who asked for a registered operation, and the backlog of completers. The writer for an instant, ' +
        'whatever the size. Code of version 1 goes on, and makes no entries.',
      statements: [
        `alter table ${table} add column principal text`,
        `create table ${backlog} (
           id               text    not null primary key,
           operation        text    not null,
           due_at           integer not null,
           tries            integer not null default 0,
           created_at       integer not null
         ) strict`,
        `create index "${name}_backlog_due_at" on ${backlog} (operation, due_at)`,
      ],
    },
  ]
}

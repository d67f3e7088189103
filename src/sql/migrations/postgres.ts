/** The table of PostgreSQL, version by version. Only ever added to: N and N+1 serve together. */
import { backlogOf } from '../backlog.ts'
import type { Migration } from '../dialect.ts'

/** @param table - the quoted name */
export function postgresMigrations(table: string): readonly Migration[] {
  const name = table.replaceAll('"', '').split('.').at(-1)?.slice(0, 48) ?? ''
  const backlog = backlogOf(table)
  return [
    {
      version: 1,
      note: 'Creates the table: the columns of Medusa v1, and what it lacked. Locks nothing that exists.',
      statements: [
        // fillfactor: room on each page, so that the updates of a request stay HOT (measured 97 % at 100, 100 % at 70).
        // autovacuum: a key is inserted, updated twice and deleted within a day; the default 20 % is far too late.
        `create table ${table} (
           id               text        primary key,
           idempotency_key  text        not null,
           scope            text        not null,
           operation        text        not null,
           state            text        not null default 'running',
           fingerprint      text        not null,
           owner            text,
           attempt          int         not null default 1,
           revision         int         not null default 0,
           recovery_point   text        not null default 'started',
           stages           json        not null default '{}',
           request_method   text,
           request_path     text,
           request_params   json,
           response_code    int,
           response_headers json,
           response_body    bytea,
           created_at       timestamptz not null default clock_timestamp(),
           locked_at        timestamptz,
           locked_until     timestamptz,
           expires_at       timestamptz not null,
           version          text
         ) with (fillfactor = 70, vacuum_truncate = false,
                 autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05)`,
        // The only index beside the primary key, on a column that no stage changes.
        `create index "${name}_expires_at" on ${table} (expires_at)`,
        // The table is born a megabyte large and never truncated: on a table of few pages the planner reads all of it,
        // and a prepared statement keeps that plan while the table grows a thousandfold within a minute (ADR 0016).
        `insert into ${table} (id, idempotency_key, scope, operation, fingerprint, expires_at)
         select 'ikey_seed_' || n, repeat('x', 200), '', '', '', clock_timestamp() from generate_series(1, 2600) n`,
        `delete from ${table}`,
      ],
    },
    {
      version: 2,
      note:
        'Adds who asked for a registered operation, and the backlog of completers. ACCESS EXCLUSIVE for an instant, ' +
        'whatever the size: the column is empty. Code of version 1 goes on, and makes no entries.',
      statements: [
        `alter table ${table} add column principal text`,
        // An entry is changed at each try, and the index with it: never HOT, but a stage never writes here (ADR 0025).
        `create table ${backlog} (
           id               text        primary key,
           operation        text        not null,
           due_at           timestamptz not null,
           tries            int         not null default 0,
           created_at       timestamptz not null
         ) with (vacuum_truncate = false,
                 autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05)`,
        `create index "${name}_backlog_due_at" on ${backlog} (operation, due_at)`,
        // Born large, as the table of records (ADR 0016).
        `insert into ${backlog} (id, operation, due_at, created_at)
         select 'ikey_seed_' || n, repeat('x', 200), 'epoch', 'epoch' from generate_series(1, 2600) n`,
        `delete from ${backlog}`,
      ],
    },
  ]
}

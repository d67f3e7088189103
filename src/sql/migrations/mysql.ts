/** The table of MySQL and MariaDB, version by version. Only ever added to: N and N+1 serve together. */
import { backlogOf } from '../backlog.ts'
import type { Migration } from '../dialect.ts'

/** @param table - the quoted name */
export function mysqlMigrations(table: string): readonly Migration[] {
  return [
    {
      version: 1,
      note: 'Creates the table: the columns of Medusa v1, and what it lacked. Locks nothing that exists.',
      statements: [
        // Binary collations: others take 'abc', 'ABC ' and 'ábc' for one. Text for JSON: it is kept as it was written.
        `create table if not exists ${table} (
           id               char(37)     character set ascii not null primary key,
           idempotency_key  varchar(255) not null,
           scope            text         not null,
           operation        text         not null,
           state            varchar(20)  character set ascii not null default 'running',
           fingerprint      varchar(255) character set ascii not null,
           owner            varchar(64)  character set ascii,
           attempt          int          not null default 1,
           revision         int          not null default 0,
           recovery_point   varchar(255) not null default 'started',
           stages           longtext     not null,
           request_method   varchar(64),
           request_path     text,
           request_params   json,
           response_code    int,
           response_headers longtext,
           response_body    longblob,
           created_at       datetime(6)  not null,
           locked_at        datetime(6),
           locked_until     datetime(6),
           expires_at       datetime(6)  not null,
           version          varchar(255),
           index expires_at (expires_at)
         ) engine = InnoDB, default character set utf8mb4, collate utf8mb4_bin`,
      ],
    },
    {
      version: 2,
      note:
        'Adds who asked for a registered operation, and the backlog of completers. INSTANT, whatever the size. ' +
        'Code of version 1 goes on, and makes no entries.',
      statements: [
        // MySQL has no `if not exists` here: who has it already is asked first, and again if another came between.
        { adds: 'principal', text: `alter table ${table} add column principal text` },
        `create table if not exists ${backlogOf(table)} (
           id               char(37)     character set ascii not null primary key,
           operation        varchar(255) not null,
           due_at           datetime(6)  not null,
           tries            int          not null default 0,
           created_at       datetime(6)  not null,
           index operation_due_at (operation, due_at)
         ) engine = InnoDB, default character set utf8mb4, collate utf8mb4_bin`,
      ],
    },
  ]
}

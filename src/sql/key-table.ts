/**
 * The statements of `pawl/medusa`, on a table whose identity is the idempotency key itself, under a unique index: the
 * one that Medusa v1 made, with columns added (docs/typeorm.md#the-table). Every change compares attempt and revision
 * with what was seen, and rows that a commit holds are skipped, never waited for.
 * Protocol: docs/internals/service.md
 */

/** The columns of the entity. Others are Pawl's own. */
export const KEY_COLUMNS = [
  'id',
  'idempotency_key',
  'created_at',
  'locked_at',
  'request_method',
  'request_params',
  'request_path',
  'response_code',
  'response_body',
  'recovery_point',
] as const

/** The name of one column of the entity. */
export type KeyColumn = (typeof KEY_COLUMNS)[number]

/** A parameter's type is said wherever it is used twice, or is not what the driver sends. */
const CASTS: Readonly<Partial<Record<KeyColumn, string>>> = {
  created_at: '::timestamptz',
  locked_at: '::timestamptz',
  request_params: '::text::jsonb',
  response_code: '::int',
  response_body: '::text::jsonb',
}

const LAPSED = `(k.locked_until is null or k.locked_until < clock_timestamp())`

/** What every statement returns: the entity, and what is known of its lease. */
const RECORD = `
  ${KEY_COLUMNS.map((column) => `k.${column}`).join(', ')},
  k.owner, k.attempt, k.revision,
  ${LAPSED} as lapsed`

const LEASE = `clock_timestamp() + $1::float8 * interval '1 millisecond'`

/** The texts for one table. */
export interface KeyTable {
  readonly insert: string
  readonly look: string
  readonly take: string
  readonly lockRow: string
  readonly advance: string
  readonly renew: string
  readonly release: string
  /** Sets some columns of the entity; the values follow the statement's own. */
  update(columns: readonly KeyColumn[]): string
}

/** @param table - the quoted name */
export function keyTable(table: string): KeyTable {
  return { ...claiming(table), ...working(table), ...keeping(table) }
}

function claiming(table: string): Pick<KeyTable, 'insert' | 'look' | 'take'> {
  return {
    /** in   1 lease ms · 2 id · 3 key · 4 method · 5 params json · 6 path · 7 owner, or null: held by nobody
     *       8 retention ms
     *  out  the record; no row: the key is there. No error, which would abort the caller's transaction
     *  plan unique index of the key */
    insert: `
      insert into ${table} as k (
        id, idempotency_key, request_method, request_params, request_path, recovery_point, state, owner,
        locked_at, locked_until, expires_at)
      values ($2, $3, $4, $5::text::jsonb, $6, 'started', 'running', $7::text,
        case when $7::text is not null then clock_timestamp() end,
        case when $7::text is not null then ${LEASE} end,
        clock_timestamp() + $8::float8 * interval '1 millisecond')
          on conflict (idempotency_key) do nothing
      returning ${RECORD}`,

    /** in   1 key · 2 method · 3 path · 4 params json
     *  out  the record; \`other\` where it was made by another request. What neither has said is not compared
     *  plan unique index of the key */
    look: `
      select ${RECORD},
             coalesce(k.request_method <> $2::text, false) or coalesce(k.request_path <> $3::text, false)
               or coalesce(k.request_params <> $4::text::jsonb, false) as other
        from ${table} k
       where k.idempotency_key = $1`,

    /** in   1 lease ms · 2 key · 3 attempt seen · 4 revision seen · 5 new owner
     *       6 an owner whose attempt is over
     *  out  the record, ours now; no row: finished, held, or not as it was seen
     *  plan unique index of the key. SKIP LOCKED: a stage holds its row, and nobody waits for it */
    take: `
      with lapsed as (
        select k.id
          from ${table} k
         where k.idempotency_key = $2 and k.attempt = $3 and k.revision = $4 and k.recovery_point <> 'finished'
           and (${LAPSED} or k.owner = $6::text)
           for update skip locked
      )
      update ${table} k
         set owner = $5, attempt = k.attempt + 1, locked_at = clock_timestamp(), locked_until = ${LEASE}
        from lapsed
       where k.id = lapsed.id
      returning ${RECORD}`,
  }
}

function working(table: string): Pick<KeyTable, 'lockRow' | 'advance' | 'update'> {
  return {
    /** in   1 key
     *  out  the record, locked until the transaction ends; no row: there is none, or another stage holds it
     *  plan unique index of the key */
    lockRow: `
      select ${RECORD}
        from ${table} k
       where k.idempotency_key = $1
         for update skip locked`,

    /** in   1 lease ms · 2 id · 3 attempt seen · 4 owner · 5 attempt · 6 next point · 7 status · 8 body json
     *       9 whether it is finished
     *  out  the record as stored; no row: fenced
     *  plan primary key; no indexed column changes. The row has been locked since lockRow */
    advance: `
      update ${table} k
         set recovery_point = $6,
             state = case when $9::boolean then 'finished' else 'running' end,
             response_code = case when $9::boolean then $7::int else k.response_code end,
             response_body = case when $9::boolean then $8::text::jsonb else k.response_body end,
             owner = case when $9::boolean then null else $4::text end,
             attempt = $5::int, revision = k.revision + 1,
             locked_at = case when $9::boolean then null else coalesce(k.locked_at, clock_timestamp()) end,
             locked_until = case when $9::boolean then null else ${LEASE} end
       where k.id = $2 and k.attempt = $3 and k.recovery_point <> 'finished'
      returning ${RECORD}`,

    /** in   1 key · 2 owner · 3 attempt, of the hold if there is one · then the values
     *  out  the record; no row: there is none, it is finished, or another holds it
     *  plan unique index of the key */
    update: (columns) => `
      with ours as (
        select k.id
          from ${table} k
         where k.idempotency_key = $1 and k.recovery_point <> 'finished'
           and (${LAPSED} or (k.owner = $2::text and k.attempt = $3::int))
           and k.attempt <= coalesce($3::int, k.attempt)
           for update skip locked
      )
      update ${table} k
         set revision = k.revision + 1
             ${columns.map((column, at) => `, ${column} = ${valueOf(column, at + 4)}`).join('')}
             ${finishing(columns)}
        from ours
       where k.id = ours.id
      returning ${RECORD}`,
  }
}

function keeping(table: string): Pick<KeyTable, 'renew' | 'release'> {
  return {
    /** in   1 lease ms · 2 json array of holds
     *  out  nothing of interest: who lost a lease learns it at the next stage
     *  plan unique index of the key. Rows that a stage holds are skipped: they are alive */
    renew: `
      with asked as materialized (
        select * from json_to_recordset($2::text::json) as a(key text, owner text, attempt int)
      ), ours as (
        select k.id
          from ${table} k
          join asked on asked.key = k.idempotency_key and asked.owner = k.owner and asked.attempt = k.attempt
         where k.idempotency_key = any (array(select key from asked)) and k.recovery_point <> 'finished'
           for update of k skip locked
      )
      update ${table} k
         set locked_until = ${LEASE}
        from ours
       where k.id = ours.id`,

    /** in   1 key · 2 owner · 3 attempt
     *  out  nothing of interest. It waits for the stage whose transaction is being rolled back
     *  plan unique index of the key */
    release: `
      update ${table} k
         set owner = null, locked_at = null, locked_until = null
       where k.idempotency_key = $1 and k.owner = $2 and k.attempt = $3 and k.recovery_point <> 'finished'`,
  }
}

function valueOf(column: KeyColumn, at: number): string {
  return `$${String(at)}${CASTS[column] ?? '::text'}`
}

/** A key that is set to finished is held by nobody any more. */
function finishing(columns: readonly KeyColumn[]): string {
  const at = columns.indexOf('recovery_point')
  if (at < 0) return ''
  const done = `$${String(at + 4)}::text = 'finished'`
  const locked = columns.includes('locked_at')
  return `, state = case when ${done} then 'finished' else k.state end,
           owner = case when ${done} then null else k.owner end,
           ${locked ? '' : `locked_at = case when ${done} then null else k.locked_at end,`}
           locked_until = case when ${done} then null else k.locked_until end`
}

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

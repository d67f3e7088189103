/**
 * The statements of PostgreSQL 12 and newer, and of what speaks its SQL. Correct at READ COMMITTED by compare-and-set;
 * all time is `clock_timestamp()`, because `now()` stands still while a statement waits for a lock.
 * Batches travel as one JSON parameter: one text for every size of batch, on every driver. `= any (array(…))` beside
 * a join tells the planner that a batch is small, so that it takes the primary key (test/contract/plans).
 * Protocol: docs/internals/protocol.md. Pitfalls behind the shapes: docs/internals/sql.md.
 */
import { ConfigError } from '../core/errors.ts'
import { type BacklogTexts, postgresBacklogTexts } from './backlog-postgres.ts'
import { inOneStatement } from './changes.ts'
import type { Dialect, MigrationTexts, StageTexts } from './dialect.ts'
import { postgresMigrations } from './migrations/postgres.ts'
import { type ErasureTexts, postgresErasureTexts } from './erase-postgres.ts'
import { claimsText } from './payload.ts'
import { failureOf, hasAnswered } from './postgres-errors.ts'
import { CLAIMED_OR_THERE, EXECUTION, LAPSED, RECORD, there, WHOLE } from './postgres-record.ts'
import { returningSteps, type ReturningTexts } from './returning-steps.ts'
import { text } from './rows.ts'
import type { Runner, Steps } from './steps.ts'

/** How long a reread waits for a commit that is still on its way before it counts as unanswered. */
const REREAD_LOCK_WAIT_MS = 2_000

const IDENTIFIER = /^[a-z_][a-z0-9_]{0,49}$/

/** The isolation levels of PostgreSQL. READ UNCOMMITTED is READ COMMITTED there, so it is not offered. */
export type PostgresIsolation = 'read committed' | 'repeatable read' | 'serializable'

/** Every statement of the store on one table. */
export interface PostgresTexts extends StageTexts, ReturningTexts, BacklogTexts, ErasureTexts {
  readonly limitLockWait: string
  readonly reap: string
}

/** @param table - the quoted name */
export function postgresTexts(table: string): PostgresTexts {
  return {
    /** in   1 json array of claims, one an id
     *  out  the records that are there, and the ids inserted, each with its owner and execution and nothing else; a
     *       missing id was inserted by somebody else meanwhile
     *  plan primary key. Ids that are there are left out: ON CONFLICT waits for a commit that holds such a row, and
     *       every other claim of the batch with it. Rows in id order, so that batches never deadlock */
    claim: `
      with asked as materialized (
        select *
          from json_to_recordset($1::text::json) as a(
            id text, scope text, operation text, key text, fingerprint text, owner text,
            method text, path text, lease_ms float8, retention_ms float8)
      ), ${there(table)}, claimed as (
        insert into ${table} as k (
          id, idempotency_key, scope, operation, fingerprint, owner, attempt, state, recovery_point, stages,
          request_method, request_path, created_at, locked_at, locked_until, expires_at)
        select id, key, scope, operation, fingerprint, owner, 1, 'running', 'started', '{}',
               method, path, clock_timestamp(), clock_timestamp(),
               clock_timestamp() + lease_ms * interval '1 millisecond',
               clock_timestamp() + retention_ms * interval '1 millisecond'
          from asked
         where id not in (select id from there)
         order by id
            on conflict (id) do nothing
        returning k.id, k.owner, ${EXECUTION} as execution
      )
      ${CLAIMED_OR_THERE}`,

    /** in   1 json array of ids
     *  out  the records that are there, as of now
     *  plan primary key */
    look: `
      select ${RECORD}
        from ${table} k
       where k.id = any (array(select json_array_elements_text($1::text::json)))`,

    /** in   1 id · 2 attempt seen · 3 new owner · 4 lease ms · 5 revision seen
     *  out  the record, ours now; no row: not lapsed, not as it was seen, or a commit holds it
     *  plan primary key. SKIP LOCKED: a process stopped inside a transaction must not make every claimer wait */
    takeOver: `
      with lapsed as (
        select k.id
          from ${table} k
         where k.id = $1 and k.attempt = $2 and k.revision = $5 and k.state = 'running' and ${LAPSED}
           for update skip locked
      )
      update ${table} k
         set owner = $3, attempt = k.attempt + 1, locked_at = clock_timestamp(),
             locked_until = clock_timestamp() + $4::float8 * interval '1 millisecond'
        from lapsed
       where k.id = lapsed.id
      returning ${RECORD}`,

    /** in   1 id · 2 attempt seen · 3 revision seen · 4 next state
     *  out  its id; no row: as takeOver
     *  plan as takeOver */
    stop: `
      with lapsed as (
        select k.id
          from ${table} k
         where k.id = $1 and k.attempt = $2 and k.revision = $3 and k.state = 'running' and ${LAPSED}
           for update skip locked
      )
      update ${table} k
         set state = $4, revision = k.revision + 1, owner = null, locked_at = null, locked_until = null
        from lapsed
       where k.id = lapsed.id
      returning k.id`,

    /** in   1 id · 2 attempt seen · 3 revision seen · 4 state seen · 5 next point · 6 stages json
     *  out  its id, held by nobody; no row: not as it was seen, or somebody else is deciding
     *  plan as takeOver */
    restart: `
      with stopped as (
        select k.id
          from ${table} k
         where k.id = $1 and k.attempt = $2 and k.revision = $3 and k.state = $4
           for update skip locked
      )
      update ${table} k
         set state = 'running', recovery_point = $5, stages = $6::text::json, revision = k.revision + 1,
             owner = null, locked_at = null, locked_until = null
        from stopped
       where k.id = stopped.id
      returning k.id`,

    /** in   1 id · 2 owner · 3 attempt · 4 point seen · 5 next point · 6 stages json · 7 lease ms
     *       8 revision seen
     *  out  1, or division_by_zero: fenced. It must raise: COMMIT is on its way behind it already
     *  plan primary key; no indexed column changes, so the update stays HOT */
    fenceAdvance: `
      with held as (
        update ${table} k
           set recovery_point = $5, stages = $6::text::json, revision = k.revision + 1,
               locked_until = clock_timestamp() + $7::float8 * interval '1 millisecond'
         where k.id = $1 and k.owner = $2 and k.attempt = $3 and k.recovery_point = $4 and k.revision = $8
           and k.state = 'running'
        returning k.id
      )
      select 1 / count(*) as held from held`,

    /** in   1 id · 2 owner · 3 attempt · 4 point seen · 5 status · 6 headers json · 7 body · 8 retention ms
     *       9 revision seen
     *  out  as fenceAdvance
     *  plan primary key; expires_at (indexed) moves only when under 90 % of the retention is left, else HOT */
    fenceFinish: `
      with held as (
        update ${table} k
           set state = 'finished', recovery_point = 'finished', revision = k.revision + 1,
               locked_at = null, locked_until = null,
               response_code = $5, response_headers = $6::text::json, response_body = $7,
               expires_at = case
                 when k.expires_at < clock_timestamp() + 0.9 * $8::float8 * interval '1 millisecond'
                 then clock_timestamp() + $8::float8 * interval '1 millisecond'
                 else k.expires_at end
         where k.id = $1 and k.owner = $2 and k.attempt = $3 and k.recovery_point = $4 and k.revision = $9
           and k.state = 'running'
        returning k.id
      )
      select 1 / count(*) as held from held`,

    /** in   1 id · 2 owner · 3 attempt
     *  out  1, or division_by_zero: fenced
     *  plan primary key. For isolation above READ COMMITTED: a heartbeat that skips the locked row cannot make the
     *       fence fail to serialize */
    lockFirst: `
      with held as (
        select k.id
          from ${table} k
         where k.id = $1 and k.owner = $2 and k.attempt = $3 and k.state = 'running'
           for update
      )
      select 1 / count(*) as held from held`,

    /** in   1 json array of changes other than finish
     *  out  the numbers (at) of the changes that were made; one that is missing was fenced, or another change of
     *       its record came first. No point and no revision: whatever is there
     *  plan primary key a change */
    write: `
      with asked as materialized (
        select *
          from json_to_recordset($1::text::json) as a(
            at int, id text, owner text, attempt int, point text, revision int, next_point text,
            next_state text, stages text, lease_ms float8)
      )
      update ${table} k
         set recovery_point = coalesce(asked.next_point, k.recovery_point),
             state = coalesce(asked.next_state, k.state),
             revision = k.revision + 1,
             stages = coalesce(asked.stages::json, k.stages),
             owner = case when asked.lease_ms is null then null else k.owner end,
             locked_at = case when asked.lease_ms is null then null else k.locked_at end,
             locked_until = clock_timestamp() + asked.lease_ms * interval '1 millisecond'
        from asked
       where k.id = any (array(select id from asked))
         and k.id = asked.id and k.owner = asked.owner and k.attempt = asked.attempt
         and k.recovery_point = coalesce(asked.point, k.recovery_point)
         and k.revision = coalesce(asked.revision, k.revision) and k.state = 'running'
      returning asked.at`,

    /** in   1 json array of outcomes, bodies in base64
     *  out  as write
     *  plan as write */
    finish: `
      with asked as materialized (
        select *
          from json_to_recordset($1::text::json) as a(
            at int, id text, owner text, attempt int, point text, revision int,
            status int, headers text, body text, retention_ms float8)
      )
      update ${table} k
         set state = 'finished', recovery_point = 'finished', revision = k.revision + 1,
             locked_at = null, locked_until = null,
             response_code = asked.status, response_headers = asked.headers::json,
             response_body = decode(asked.body, 'base64'),
             expires_at = case
               when k.expires_at < clock_timestamp() + 0.9 * asked.retention_ms * interval '1 millisecond'
               then clock_timestamp() + asked.retention_ms * interval '1 millisecond'
               else k.expires_at end
        from asked
       where k.id = any (array(select id from asked))
         and k.id = asked.id and k.owner = asked.owner and k.attempt = asked.attempt
         and k.recovery_point = asked.point and k.revision = asked.revision and k.state = 'running'
      returning asked.at`,

    /** in   1 id
     *  out  the record behind any commit that is still on its way: that commit holds the row lock
     *  plan primary key */
    reread: `
      select ${RECORD}
        from ${table} k
       where k.id = $1
         for update`,

    /** in   1 id
     *  out  the record and what it is about, as committed; waits for nobody
     *  plan primary key */
    find: `
      select ${WHOLE}
        from ${table} k
       where k.id = $1`,

    /** in   1 milliseconds, as text
     *  out  nothing of interest. Until the transaction ends: no session state, PgBouncer may stand in between */
    limitLockWait: `select set_config('lock_timeout', $1, true)`,

    /** in   1 json array of holds · 2 lease ms
     *  out  one row a hold that is lost; a finished record keeps its owner and is not. Rows that a commit holds are
     *       skipped: never wait behind a stage
     *  plan primary key a hold */
    heartbeat: `
      with asked as materialized (
        select * from json_to_recordset($1::text::json) as a(id text, owner text, attempt int)
      ), ours as (
        select k.id
          from ${table} k
          join asked on asked.id = k.id and asked.owner = k.owner and asked.attempt = k.attempt
         where k.id = any (array(select id from asked)) and k.state = 'running'
           for update of k skip locked
      ), renewed as (
        update ${table} k
           set locked_until = clock_timestamp() + $2::float8 * interval '1 millisecond'
          from ours
         where k.id = any (array(select id from ours)) and k.id = ours.id
      )
      select asked.id, asked.owner, asked.attempt
        from asked
        left join ${table} k on k.id = asked.id and k.id = any (array(select id from asked))
       where k.owner is distinct from asked.owner
          or k.attempt is distinct from asked.attempt`,

    /** in   1 limit · 2 grace ms
     *  out  the ids deleted
     *  plan index on expires_at (a bare clock_timestamp() is volatile and cannot use it), then primary key. The
     *       predicate is checked again in the DELETE: a claim may have taken the row between the two */
    reap: `
      with expired as (
        select k.id
          from ${table} k
         where k.expires_at < (select clock_timestamp()) - $2::float8 * interval '1 millisecond'
           and k.state = 'finished'
         order by k.expires_at
         limit $1
           for update skip locked
      )
      delete from ${table} k
       using expired
       where k.id = any (array(select id from expired)) and k.id = expired.id and k.state = 'finished'
         and k.expires_at < clock_timestamp() - $2::float8 * interval '1 millisecond'
      returning k.id`,

    ...postgresBacklogTexts(table),
    ...postgresErasureTexts(table),
  }
}

function migrationStatements(table: string): MigrationTexts {
  const versions = versionsTable(table)
  const [schema, name] = partsOf(table)
  const inSchema = schema === undefined ? 'current_schema()' : `'${schema}'`
  return {
    together: {
      lock: `select pg_advisory_xact_lock(hashtext('pawl:${table}'))::text`,
      limitLockWait: `select set_config('lock_timeout', '2000', true)`,
    },
    createVersions: `
      create table if not exists ${versions} (
        version int primary key, applied_at timestamptz not null default clock_timestamp())`,
    versions: `select version from ${versions} order by version`,
    addVersion: `insert into ${versions} (version) values ($1::int)`,
    tableExists: `
      select column_name
        from information_schema.columns
       where table_schema = ${inSchema} and table_name = '${name}'`,
  }
}

function steps(table: string, { query, transaction }: Runner): Steps {
  const texts = postgresTexts(table)
  return {
    ...returningSteps({ query }, texts, (claims) => {
      const isTask = claims.some(({ task }) => task !== undefined)
      return query({ text: isTask ? texts.claimTasks : texts.claim, values: [claimsText(claims)] })
    }),
    writes: inOneStatement(query, texts.write),
    finishes: inOneStatement(query, texts.finish),
    reread: (id) =>
      transaction(async (within) => {
        await within({ text: texts.limitLockWait, values: [String(REREAD_LOCK_WAIT_MS)] })
        return await within({ text: texts.reread, values: [id] })
      }),
    reap: async (limit, graceMs, tombstoneMs) => {
      const values = [limit, graceMs, ...(tombstoneMs > 0 ? [tombstoneMs] : [])]
      return (await query({ text: tombstoneMs > 0 ? texts.reapOrErase : texts.reap, values }))
        .length
    },
    due: (operation, limit, againMs) =>
      query({ text: texts.due, values: [operation, limit, againMs] }),
  }
}

/** Server settings that take a promise away, and a server that is not the primary: one row a problem. */
const CHECK = `
    select 'read_only_server' as code,
           'this server is a standby; give Pawl a connection to the primary' as message
     where pg_is_in_recovery()
     union all
    select 'synchronous_commit_off',
           'synchronous_commit is off: acknowledged results are lost in a crash; turn it on for this role or database'
     where current_setting('synchronous_commit') = 'off'
     union all
    select 'fsync_off', 'fsync is off: a power cut may lose or damage everything; turn it on'
     where current_setting('fsync') = 'off'
     union all
    select 'read_only_transactions', 'default_transaction_read_only is on for this role: Pawl cannot write'
     where current_setting('default_transaction_read_only') = 'on'`

function partsOf(table: string): [schema: string | undefined, name: string] {
  const parts = table.replaceAll('"', '').split('.')
  return parts.length === 2 ? [parts[0], parts[1] ?? ''] : [undefined, parts[0] ?? '']
}

function versionsTable(table: string): string {
  return `${table.slice(0, -1)}_migration"`
}

/** PostgreSQL. */
export const postgres: Dialect = {
  name: 'postgres',
  stage: postgresTexts,
  steps,
  migrations: postgresMigrations,
  migrationStatements,
  check: async (query) => {
    const problems = await query({ text: CHECK, values: [] })
    return problems.map((row) => ({ code: text(row, 'code'), message: text(row, 'message') }))
  },
  quote: (table) => {
    const parts = table.split('.')
    if (parts.length > 2 || !parts.every((part) => IDENTIFIER.test(part))) {
      throw new ConfigError(
        `table: expected "name" or "schema.name" in lower case letters, digits and "_", got ${JSON.stringify(table)}.`,
      )
    }
    return parts.map((part) => `"${part}"`).join('.')
  },
  failureOf,
  hasAnswered,
  isSnapshot: (isolation) => isolation.toLowerCase() !== 'read committed',
}

/**
 * The statements of PostgreSQL in which the backlog has a part. An entry is written in the statement that begins its
 * execution, with that execution's instant: by it `due` knows whose entry it has before it.
 * Decisions: ADR 0025. Pitfalls behind the shapes: docs/internals/sql.md.
 */
import { backlogOf, GONE_AFTER_S } from './backlog.ts'
import { CLAIMED_OR_THERE, EXECUTION, RECORD, there, WHOLE } from './postgres-record.ts'

/** What `postgresTexts` has beside the steps of a request without a task. */
export interface BacklogTexts {
  readonly claimTasks: string
  readonly reset: string
  readonly due: string
  readonly putOff: string
}

/** @param table - the quoted name */
export function postgresBacklogTexts(table: string): BacklogTexts {
  return { claimTasks: claimTasks(table), reset: reset(table), ...ofEntries(table) }
}

/** in   1 json array of claims, of which one at least has a task
 *  out  as claim, of which it is the longer form: a batch without tasks pays for no entry
 *  plan as claim; an entry by the primary key, in id order. One of an earlier execution may be there, of a record
 *       that was reaped: it becomes this one's */
function claimTasks(table: string): string {
  return `
      with asked as materialized (
        select *
          from json_to_recordset($1::text::json) as a(
            id text, scope text, operation text, key text, fingerprint text, owner text,
            method text, path text, lease_ms float8, retention_ms float8,
            input text, version text, principal text, due_ms float8)
      ), ${there(table)}, claimed as (
        insert into ${table} as k (
          id, idempotency_key, scope, operation, fingerprint, owner, attempt, state, recovery_point, stages,
          request_method, request_path, created_at, locked_at, locked_until, expires_at,
          request_params, version, principal)
        select id, key, scope, operation, fingerprint, owner, 1, 'running', 'started', '{}',
               method, path, clock_timestamp(), clock_timestamp(),
               clock_timestamp() + lease_ms * interval '1 millisecond',
               clock_timestamp() + retention_ms * interval '1 millisecond',
               input::json, version, principal
          from asked
         where id not in (select id from there)
         order by id
            on conflict (id) do nothing
        returning k.id, k.owner, k.created_at, ${EXECUTION} as execution
      ), entered as (
        insert into ${backlogOf(table)} as b (id, operation, due_at, tries, created_at)
        select asked.id, asked.operation, clock_timestamp() + asked.due_ms * interval '1 millisecond', 0,
               claimed.created_at
          from claimed
          join asked on asked.id = claimed.id
         where asked.version is not null
         order by asked.id
            on conflict (id) do update
           set operation = excluded.operation, due_at = excluded.due_at, tries = 0, created_at = excluded.created_at
      )
      ${CLAIMED_OR_THERE}`
}

/** in   1 id · 2 attempt seen · 3 new owner · 4 lease ms · 5 fingerprint · 6 method · 7 path
 *       8 retention ms · 9 scope · 10 operation · 11 key · 12 input json · 13 version · 14 principal · 15 due ms;
 *       the last four null without a task
 *  out  the record, empty and ours; no row: not expired, or not at this attempt
 *  plan primary key. Attempts go on growing, so that a holder from before stays fenced */
function reset(table: string): string {
  return `
      with expired as (
        select k.id
          from ${table} k
         where k.id = $1 and k.attempt = $2 and k.state = 'finished' and k.expires_at < clock_timestamp()
           for update skip locked
      ), anew as (
        update ${table} k
           set owner = $3, attempt = k.attempt + 1, state = 'running', recovery_point = 'started', stages = '{}',
               revision = k.revision + 1, fingerprint = $5, request_method = $6, request_path = $7,
               scope = $9, operation = $10, idempotency_key = $11,
               request_params = $12::text::json, version = $13, principal = $14,
               response_code = null, response_headers = null, response_body = null,
               created_at = clock_timestamp(), locked_at = clock_timestamp(),
               locked_until = clock_timestamp() + $4::float8 * interval '1 millisecond',
               expires_at = clock_timestamp() + $8::float8 * interval '1 millisecond'
          from expired
         where k.id = expired.id
        returning ${RECORD}, k.operation, k.created_at
      ), entered as (
        insert into ${backlogOf(table)} as b (id, operation, due_at, tries, created_at)
        select id, operation, clock_timestamp() + $15::float8 * interval '1 millisecond', 0, created_at
          from anew
         where version is not null
            on conflict (id) do update
           set operation = excluded.operation, due_at = excluded.due_at, tries = 0, created_at = excluded.created_at
      )
      select * from anew`
}

function ofEntries(table: string): Pick<BacklogTexts, 'due' | 'putOff'> {
  const backlog = backlogOf(table)
  return {
    /** in   1 operation · 2 limit · 3 again ms
     *  out  one row an entry, in the order in which they were due: the record and its tries; no tries: nothing to do
     *  plan index on (operation, due_at), then primary keys. Records are read as of the statement's start, entries
     *       as of their lock: an entry of a later execution than the record that is seen is kept, whatever is seen */
    due: `
      with turn as (
        select b.id, b.due_at, b.created_at
          from ${backlog} b
         where b.operation = $1 and b.due_at <= (select clock_timestamp())
         order by b.due_at
         limit $2
           for update skip locked
      ), looked as (
        select turn.id,
               case
                 when k.id is null
                 then turn.created_at < clock_timestamp() - interval '${String(GONE_AFTER_S)} seconds'
                 else turn.created_at <= k.created_at
                      and (k.version is null or k.state = 'finished')
               end as is_over
          from turn
          left join ${table} k on k.id = turn.id and k.id = any (array(select id from turn))
      ), removed as (
        delete from ${backlog} b
         using looked
         where b.id = any (array(select id from turn)) and b.id = looked.id and looked.is_over
      ), again as (
        update ${backlog} b
           set due_at = clock_timestamp() + $3::float8 * interval '1 millisecond'
          from looked
         where b.id = any (array(select id from turn)) and b.id = looked.id and not looked.is_over
        returning b.id, b.tries
      )
      select case when k.state <> 'finished' and k.version is not null then again.tries end as tries,
             ${WHOLE}
        from turn
        left join again on again.id = turn.id
        left join ${table} k on k.id = turn.id and k.id = any (array(select id from turn))
       order by turn.due_at`,

    /** in   1 id · 2 ms · 3 tries
     *  out  its id; no row: no such record, none with a task, or it is over
     *  plan primary key */
    putOff: `
      insert into ${backlog} as b (id, operation, due_at, tries, created_at)
      select k.id, k.operation, clock_timestamp() + $2::float8 * interval '1 millisecond', $3::int, k.created_at
        from ${table} k
       where k.id = $1 and k.version is not null and k.state <> 'finished'
          on conflict (id) do update
         set due_at = excluded.due_at, tries = excluded.tries
      returning b.id`,
  }
}

/**
 * The statements of MySQL 8 and MariaDB 10.6 and newer, in the order of postgres.ts. No statement returns what it
 * changed, so a step that reads what it made locks the row first, changes it, and reads it, in one transaction.
 * Instants are UTC (`utc_timestamp(6)`, in columns without a zone): sessions may live in different zones. It is the
 * instant at which a statement began, so one that waited grants less and judges later than the clock says.
 * Protocol: docs/internals/protocol.md. Pitfalls behind the shapes: docs/internals/sql.md.
 */
import { ERASED } from '../core/record.ts'
import { type MysqlBacklogTexts, mysqlBacklogTexts } from './backlog-mysql.ts'
import type { StageTexts } from './dialect.ts'
import { type MysqlErasureTexts, mysqlErasureTexts } from './erase-mysql.ts'
import { after, listed, marks, NOW } from './mysql-words.ts'

/** What every statement reads of a record. */
const RECORD = `
  id, state, fingerprint, owner, attempt, revision, recovery_point,
  stages, response_code, response_headers, response_body,
  cast(timestampdiff(microsecond, '1970-01-01', created_at) as char) as execution, version,
  (expires_at < ${NOW}) as expired,
  greatest(0, coalesce(timestampdiff(microsecond, ${NOW}, locked_until), 0)) / 1000 as lease_left_ms`

/** And what it is about. The input as text: a driver may make a value of JSON. */
const WHOLE = `${RECORD},
  operation, scope, idempotency_key, cast(request_params as char) as input, principal`

const LAPSED = `(locked_until is null or locked_until < ${NOW})`

/** Every statement of the store on one table. */
export interface MysqlTexts extends StageTexts, MysqlBacklogTexts, MysqlErasureTexts {
  claim(count: number): string
  claimTasks(count: number): string
  look(count: number): string
  readonly lockLapsed: string
  readonly takeOver: string
  readonly stop: string
  readonly lockStopped: string
  readonly restart: string
  readonly lockExpired: string
  readonly reset: string
  readonly write: string
  readonly reread: string
  find(count: number): string
  lockRunning(count: number): string
  renew(count: number): string
  owners(count: number): string
  reapable(limit: number): string
  lockReapable(count: number): string
  reap(count: number): string
}

/** What a claim is given, a value a column; with a task, three more. */
const CLAIM_VALUES = 10
const TASK_VALUES = 13

/** @param table - the quoted name */
export function mysqlTexts(table: string): MysqlTexts {
  return {
    /** in   10 values a claim: id · key · scope · operation · fingerprint · owner · method · path · lease ms
     *       retention ms; in id order, so that batches never deadlock
     *  out  nothing: who owns the rows is read afterwards, since counts depend on a flag of the client
     *  plan primary key. This shape, and not INSERT IGNORE: its shared locks on duplicates deadlock
     *       (docs/internals/sql.md) */
    claim: (count) => `
      insert into ${table} (
        id, idempotency_key, scope, operation, fingerprint, owner, request_method, request_path,
        attempt, state, recovery_point, stages, created_at, locked_at, locked_until, expires_at)
      values ${listed(count, (at) => claimRow(at * CLAIM_VALUES))}
          on duplicate key update id = ${table}.id`,

    /** in   13 values a claim, of which one at least has a task: those of claim · input, a JSON string · version
     *       principal. Their entries are there already (backlog-mysql.ts)
     *  out  as claim
     *  plan as claim */
    claimTasks: (count) => `
      insert into ${table} (
        id, idempotency_key, scope, operation, fingerprint, owner, request_method, request_path,
        attempt, state, recovery_point, stages, created_at, locked_at, locked_until, expires_at,
        request_params, version, principal)
      values ${listed(count, (at) => taskRow(at * TASK_VALUES))}
          on duplicate key update id = ${table}.id`,

    /** in   ids
     *  out  the records that are there
     *  plan primary key. Reads what is committed, and waits for nobody */
    look: (count) => `
      select ${RECORD}
        from ${table}
       where id in (${marks(count)})`,

    /** in   1 id · 2 attempt seen · 3 revision seen
     *  out  its id; no row: not lapsed, not as it was seen, or a commit holds it
     *  plan primary key */
    lockLapsed: `
      select id
        from ${table}
       where id = $1 and attempt = $2 and revision = $3 and state = 'running' and ${LAPSED}
         for update skip locked`,

    /** in   1 id · 2 new owner · 3 lease ms, of a row that is locked */
    takeOver: `
      update ${table}
         set owner = $2, attempt = attempt + 1, locked_at = ${NOW}, locked_until = ${after('$3')}
       where id = $1`,

    /** in   1 id · 2 next state, of a row that is locked */
    stop: `
      update ${table}
         set state = $2, revision = revision + 1, owner = null, locked_at = null, locked_until = null
       where id = $1`,

    /** in   1 id · 2 attempt seen · 3 revision seen · 4 state seen
     *  out  its id; no row: not as it was seen, or somebody else is deciding
     *  plan primary key */
    lockStopped: `
      select id
        from ${table}
       where id = $1 and attempt = $2 and revision = $3 and state = $4
         for update skip locked`,

    /** in   1 id · 2 next point · 3 stages json, of a row that is locked */
    restart: `
      update ${table}
         set recovery_point = $2, stages = $3, revision = revision + 1,
             owner = null, locked_at = null, locked_until = null, state = 'running'
       where id = $1`,

    /** in   1 id · 2 attempt seen
     *  out  its id; no row: not expired, or not at this attempt
     *  plan primary key */
    lockExpired: `
      select id
        from ${table}
       where id = $1 and attempt = $2 and state = 'finished' and expires_at < ${NOW}
         for update skip locked`,

    /** in   1 id · 2 new owner · 3 lease ms · 4 fingerprint · 5 method · 6 path · 7 retention ms · 8 input, a JSON
     *       string · 9 version · 10 principal, these three null without a task · 11 scope · 12 operation · 13 key.
     *       Of a row that is locked. Attempts go on growing, so that a holder from before stays fenced */
    reset: `
      update ${table}
         set owner = $2, attempt = attempt + 1, state = 'running', recovery_point = 'started', stages = '{}',
             revision = revision + 1, fingerprint = $4, request_method = $5, request_path = $6,
             request_params = $8, version = $9, principal = $10,
             scope = $11, operation = $12, idempotency_key = $13,
             response_code = null, response_headers = null, response_body = null,
             created_at = ${NOW}, locked_at = ${NOW},
             locked_until = ${after('$3')}, expires_at = ${after('$7')}
       where id = $1`,

    /** in   1 id · 2 owner · 3 attempt · 4 point seen · 5 next point · 6 stages json · 7 lease ms
     *       8 revision seen
     *  out  changed 1, or 0: fenced
     *  plan primary key */
    fenceAdvance: `
      update ${table}
         set recovery_point = $5, stages = $6, revision = revision + 1, locked_until = ${after('$7')}
       where id = $1 and owner = $2 and attempt = $3 and recovery_point = $4 and revision = $8
         and state = 'running'`,

    /** in   1 id · 2 owner · 3 attempt · 4 point seen · 5 status · 6 headers json · 7 body · 8 retention ms
     *       9 revision seen
     *  out  as fenceAdvance
     *  plan primary key; expires_at (indexed) moves only when under 90 % of the retention is left */
    fenceFinish: `
      update ${table}
         set state = 'finished', recovery_point = 'finished', revision = revision + 1,
             locked_at = null, locked_until = null,
             response_code = $5, response_headers = $6, response_body = $7,
             expires_at = if(expires_at < ${after('0.9 * $8')}, ${after('$8')}, expires_at)
       where id = $1 and owner = $2 and attempt = $3 and recovery_point = $4 and revision = $9
         and state = 'running'`,

    /** in   1 id · 2 owner · 3 attempt
     *  out  a row; none: fenced
     *  plan primary key. For isolation above READ COMMITTED: a heartbeat that skips the locked row cannot make the
     *       fence fail (1020, where innodb_snapshot_isolation is on) */
    lockFirst: `
      select id
        from ${table}
       where id = $1 and owner = $2 and attempt = $3 and state = 'running'
         for update`,

    /** in   1 id · 2 owner · 3 attempt · 4 point seen · 5 revision seen · 6 next point · 7 next state
     *       8 stages json · 9 lease ms
     *  out  changed 1, or 0: fenced, or another change of its record came first. No point and no revision: whatever
     *       is there. No lease: it is given back
     *  plan primary key. Assignments are made from left to right: what others compare with comes last */
    write: `
      update ${table}
         set recovery_point = coalesce($6, recovery_point), revision = revision + 1,
             stages = coalesce($8, stages),
             owner = if($9 is null, null, owner), locked_at = if($9 is null, null, locked_at),
             locked_until = ${after('$9')}, state = coalesce($7, state)
       where id = $1 and owner = $2 and attempt = $3 and recovery_point = coalesce($4, recovery_point)
         and revision = coalesce($5, revision) and state = 'running'`,

    /** in   1 id
     *  out  the record, or an error at once when a commit that is still on its way holds it: to be asked again.
     *       Waiting would take innodb_lock_wait_timeout, which is the session's, 50 s
     *  plan primary key */
    reread: `
      select ${RECORD}
        from ${table}
       where id = $1
         for update nowait`,

    /** in   ids
     *  out  the records that are there, and what they are about
     *  plan primary key. Reads what is committed, and waits for nobody */
    find: (count) => `
      select ${WHOLE}
        from ${table}
       where id in (${marks(count)})`,

    /** in   ids
     *  out  holds of running records. Rows that a commit holds are skipped: never wait behind a stage. In autocommit:
     *       the locks are gone with the statement
     *  plan primary key */
    lockRunning: (count) => `
      select id, owner, attempt
        from ${table}
       where id in (${marks(count)}) and state = 'running'
         for update skip locked`,

    /** in   1 lease ms · ids · as many owners. An owner is of one attempt of one record, so two lists are pairs
     *  plan primary key. It may have waited for a stage that has renewed the lease since: never take that back */
    renew: (count) => `
      update ${table}
         set locked_until = greatest(coalesce(locked_until, ${NOW}), ${after('$1')})
       where id in (${marks(count, 1)}) and owner in (${marks(count, 1 + count)}) and state = 'running'`,

    /** in   ids
     *  out  who has them
     *  plan primary key */
    owners: (count) => `
      select id, owner, attempt
        from ${table}
       where id in (${marks(count)})`,

    /** in   1 grace ms
     *  out  ids that may be deleted. Nothing is locked: two reapers that lock by the index of expires_at and then
     *       delete by the primary key deadlock (docs/internals/sql.md)
     *  plan index on expires_at. The limit is in the text: a prepared statement takes no number there */
    reapable: (limit) => `
      select id
        from ${table}
       where expires_at < ${NOW} - interval cast($1 * 1000 as signed) microsecond and state = 'finished'
       order by expires_at
       limit ${String(Math.trunc(limit))}`,

    /** in   1 grace ms · ids
     *  out  those that may still be deleted, locked, and whether each is a tombstone. Another reaper's are
     *       skipped, and so is what a claim starts anew
     *  plan primary key, by force: of a small table the other index may look cheaper */
    lockReapable: (count) => `
      select id, (fingerprint = '${ERASED}') as is_tombstone
        from ${table} force index (primary)
       where id in (${marks(count, 1)}) and state = 'finished'
         and expires_at < ${NOW} - interval cast($1 * 1000 as signed) microsecond
         for update skip locked`,

    /** in   ids, of rows that are locked */
    reap: (count) => `
      delete from ${table}
       where id in (${marks(count)})`,

    ...mysqlBacklogTexts(table),
    ...mysqlErasureTexts(table, LAPSED),
  }
}

function claimRow(from: number): string {
  return `(${claimColumns(from)})`
}

function taskRow(from: number): string {
  return `(${claimColumns(from)}, ${marks(TASK_VALUES - CLAIM_VALUES, from + CLAIM_VALUES)})`
}

function claimColumns(from: number): string {
  const at = (nth: number): string => `$${String(from + nth)}`
  const given = [1, 2, 3, 4, 5, 6, 7, 8].map(at).join(', ')
  return `${given}, 1, 'running', 'started', '{}', ${NOW}, ${NOW}, ${after(at(9))}, ${after(at(10))}`
}

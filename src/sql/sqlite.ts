/**
 * The statements of SQLite 3.42 and newer, in the order of postgres.ts. Every write happens in a transaction that was
 * begun IMMEDIATE or is a statement of its own: there is one writer at a time, so nothing is skipped and nothing waits
 * for a row. Instants are whole milliseconds since 1970, as `unixepoch('subsec')` has them; all processes share the
 * machine's clock, because they share its file system.
 * Protocol: docs/internals/protocol.md. Pitfalls behind the shapes: docs/internals/sql.md.
 */
import { ConfigError } from '../core/errors.ts'
import type { StoreProblem } from '../core/store.ts'
import {
  due,
  insertWithEntries,
  resetWithEntry,
  type SqliteBacklogTexts,
  sqliteBacklogTexts,
} from './backlog-sqlite.ts'
import { oneByOne, writeOf } from './changes.ts'
import type { Dialect, MigrationTexts, StageTexts } from './dialect.ts'
import { reapOrErase, type SqliteErasureTexts, sqliteErasureTexts } from './erase-sqlite.ts'
import { fenceOf } from './fence.ts'
import { SAVEPOINT } from './guard.ts'
import { sqliteMigrations } from './migrations/sqlite.ts'
import { resetValues, returningSteps, type ReturningTexts } from './returning-steps.ts'
import { number } from './rows.ts'
import { failureOf, hasAnswered } from './sqlite-errors.ts'
import type { Runner, Steps } from './steps.ts'

const IDENTIFIER = /^[a-z_][a-z0-9_]{0,49}$/

const NOW = `cast(round(unixepoch('subsec') * 1000) as integer)`

/** Equal in all attempts of one execution: the instant of the claim. */
const EXECUTION = `cast(created_at as text)`

/** What every statement reads of a record. */
const RECORD = `
  id, state, fingerprint, owner, attempt, revision, recovery_point,
  stages, response_code, response_headers, response_body,
  ${EXECUTION} as execution, version,
  (expires_at < ${NOW}) as expired,
  max(0, coalesce(locked_until - ${NOW}, 0)) as lease_left_ms`

/** And what it is about. */
const WHOLE = `${RECORD},
  operation, scope, idempotency_key, request_params as input, principal`

const LAPSED = `(locked_until is null or locked_until < ${NOW})`

/** Every statement of the store on one table. */
export type SqliteTexts = StageTexts &
  Omit<ReturningTexts, 'finish'> &
  SqliteBacklogTexts &
  SqliteErasureTexts & { readonly reap: string }

/** @param table - the quoted name */
export function sqliteTexts(table: string): SqliteTexts {
  return {
    /** in   1 json array of claims
     *  out  the ids inserted, each with its owner; a missing id is there already
     *  plan primary key. `where true`: or the parser takes ON for that of a join */
    claim: `
      insert into ${table} (
        id, idempotency_key, scope, operation, fingerprint, owner, attempt, state, recovery_point, stages,
        request_method, request_path, request_params, version, principal,
        created_at, locked_at, locked_until, expires_at)
      select a.value ->> 'id', a.value ->> 'key', a.value ->> 'scope', a.value ->> 'operation',
             a.value ->> 'fingerprint', a.value ->> 'owner', 1, 'running', 'started', '{}',
             a.value ->> 'method', a.value ->> 'path', a.value ->> 'input', a.value ->> 'version',
             a.value ->> 'principal', ${NOW}, ${NOW},
             ${NOW} + cast(a.value ->> 'lease_ms' as integer),
             ${NOW} + cast(a.value ->> 'retention_ms' as integer)
        from json_each($1) as a
       where true
          on conflict (id) do nothing
      returning id, owner, ${EXECUTION} as execution`,

    /** in   1 json array of ids
     *  out  the records that are there
     *  plan primary key */
    look: `
      select ${RECORD}
        from ${table}
       where id in (select value from json_each($1))`,

    /** in   1 id · 2 attempt seen · 3 new owner · 4 lease ms · 5 revision seen
     *  out  the record, ours now; no row: not lapsed, or not as it was seen
     *  plan primary key */
    takeOver: `
      update ${table}
         set owner = $3, attempt = attempt + 1, locked_at = ${NOW}, locked_until = ${NOW} + cast($4 as integer)
       where id = $1 and attempt = $2 and revision = $5 and state = 'running' and ${LAPSED}
      returning ${RECORD}`,

    /** in   1 id · 2 attempt seen · 3 revision seen · 4 next state
     *  out  its id; no row: as takeOver
     *  plan primary key */
    stop: `
      update ${table}
         set state = $4, revision = revision + 1, owner = null, locked_at = null, locked_until = null
       where id = $1 and attempt = $2 and revision = $3 and state = 'running' and ${LAPSED}
      returning id`,

    /** in   1 id · 2 attempt seen · 3 revision seen · 4 state seen · 5 next point · 6 stages json
     *  out  its id, held by nobody; no row: not as it was seen
     *  plan primary key */
    restart: `
      update ${table}
         set state = 'running', recovery_point = $5, stages = $6, revision = revision + 1,
             owner = null, locked_at = null, locked_until = null
       where id = $1 and attempt = $2 and revision = $3 and state = $4
      returning id`,

    /** in   1 id · 2 attempt seen · 3 new owner · 4 lease ms · 5 fingerprint · 6 method · 7 path
     *       8 retention ms · 9 scope · 10 operation · 11 key · 12 input json · 13 version · 14 principal; the last
     *       three null without a task
     *  out  the record, empty and ours; no row: not expired, or not at this attempt
     *  plan primary key. Attempts go on growing, so that a holder from before stays fenced */
    reset: `
      update ${table}
         set owner = $3, attempt = attempt + 1, state = 'running', recovery_point = 'started', stages = '{}',
             revision = revision + 1, fingerprint = $5, request_method = $6, request_path = $7,
             scope = $9, operation = $10, idempotency_key = $11,
             request_params = $12, version = $13, principal = $14,
             response_code = null, response_headers = null, response_body = null,
             created_at = max(${NOW}, created_at + 1), locked_at = ${NOW},
             locked_until = ${NOW} + cast($4 as integer), expires_at = ${NOW} + cast($8 as integer)
       where id = $1 and attempt = $2 and state = 'finished' and expires_at < ${NOW}
      returning ${RECORD}`,

    /** in   1 id · 2 owner · 3 attempt · 4 point seen · 5 next point · 6 stages json · 7 lease ms
     *       8 revision seen
     *  out  a row; none: fenced
     *  plan primary key */
    fenceAdvance: `
      update ${table}
         set recovery_point = $5, stages = $6, revision = revision + 1,
             locked_until = ${NOW} + cast($7 as integer)
       where id = $1 and owner = $2 and attempt = $3 and recovery_point = $4 and revision = $8
         and state = 'running'
      returning 1 as held`,

    /** in   1 id · 2 owner · 3 attempt · 4 point seen · 5 status · 6 headers json · 7 body · 8 retention ms
     *       9 revision seen
     *  out  as fenceAdvance
     *  plan primary key; expires_at (indexed) moves only when under 90 % of the retention is left */
    fenceFinish: `
      update ${table}
         set state = 'finished', recovery_point = 'finished', revision = revision + 1,
             locked_at = null, locked_until = null,
             response_code = $5, response_headers = $6, response_body = $7,
             expires_at = case
               when expires_at < ${NOW} + 0.9 * $8 then ${NOW} + cast($8 as integer)
               else expires_at end
       where id = $1 and owner = $2 and attempt = $3 and recovery_point = $4 and revision = $9
         and state = 'running'
      returning 1 as held`,

    /** in   1 id · 2 owner · 3 attempt
     *  out  a row; none: fenced
     *  plan primary key. For libraries that begin DEFERRED: a change, so that the transaction is the writer from its
     *       first statement on, and no read of the work makes it fail later */
    lockFirst: `
      update ${table}
         set revision = revision
       where id = $1 and owner = $2 and attempt = $3 and state = 'running'
      returning 1 as held`,

    /** in   1 id · 2 owner · 3 attempt · 4 point seen · 5 revision seen · 6 next point · 7 next state
     *       8 stages json · 9 lease ms
     *  out  a row; none: fenced, or another change of its record came first. No point and no revision: whatever is
     *       there. No lease: it is given back
     *  plan primary key */
    write: `
      update ${table}
         set recovery_point = coalesce($6, recovery_point), state = coalesce($7, state), revision = revision + 1,
             stages = coalesce($8, stages),
             owner = case when $9 is null then null else owner end,
             locked_at = case when $9 is null then null else locked_at end,
             locked_until = ${NOW} + cast($9 as integer)
       where id = $1 and owner = $2 and attempt = $3 and recovery_point = coalesce($4, recovery_point)
         and revision = coalesce($5, revision) and state = 'running'
      returning 1 as held`,

    /** in   1 id
     *  out  the record. A commit that was on its way is in it: both go through the one writer
     *  plan primary key */
    reread: `
      select ${RECORD}
        from ${table}
       where id = $1`,

    /** in   1 id
     *  out  the record and what it is about, as committed
     *  plan primary key */
    find: `
      select ${WHOLE}
        from ${table}
       where id = $1`,

    /** in   1 json array of holds · 2 lease ms
     *  out  one row a hold that is still held, or finished by it. (SQLite returns what was changed, not what was not)
     *  plan primary key a hold */
    heartbeat: `
      update ${table}
         set locked_until = case when state = 'running' then ${NOW} + cast($2 as integer) else locked_until end
       where id in (select a.value ->> 'id' from json_each($1) as a)
         and exists (
           select 1
             from json_each($1) as a
            where a.value ->> 'id' = ${table}.id and a.value ->> 'owner' = ${table}.owner
              and a.value ->> 'attempt' = ${table}.attempt)
      returning id, owner, attempt`,

    /** in   1 limit · 2 grace ms
     *  out  the ids deleted
     *  plan index on expires_at, then primary key */
    reap: `
      delete from ${table}
       where id in (
         select e.id
           from ${table} e
          where e.expires_at < ${NOW} - $2 and e.state = 'finished'
          order by e.expires_at
          limit $1)
      returning id`,

    ...sqliteBacklogTexts(table, { now: NOW, whole: WHOLE }),
    ...sqliteErasureTexts(table, { now: NOW, lapsed: LAPSED }),
  }
}

function steps(table: string, runner: Runner): Steps {
  const all = sqliteTexts(table)
  const { query, transaction } = runner
  const returning = returningSteps({ query }, all, (claims) =>
    insertWithEntries(runner, all, claims),
  )
  return {
    ...returning,
    heartbeat: async (holds, leaseMs) => {
      const kept = await returning.heartbeat(holds, leaseMs)
      const held = new Set(kept.map((row) => nameOf(row)))
      return holds.map((hold) => ({ ...hold })).filter((hold) => !held.has(nameOf(hold)))
    },
    writes: oneByOne(runner, writeOf(all.write)),
    finishes: oneByOne(runner, (hold, write) => fenceOf(all, hold, write)),
    // In a transaction: a read alone would not wait for another process that is about to commit.
    reread: (id) => transaction((within) => within({ text: all.reread, values: [id] })),
    reset: (input) => {
      const values = resetValues(input).slice(0, -1)
      return resetWithEntry(runner, all, { input, values })
    },
    reap: async (limit, graceMs, tombstoneMs) =>
      tombstoneMs > 0
        ? await reapOrErase(query, all, [limit, graceMs, tombstoneMs])
        : (await query({ text: all.reap, values: [limit, graceMs] })).length,
    due: (...asked) => due(runner, all, asked),
  }
}

function nameOf(hold: Readonly<Record<string, unknown>>): string {
  return JSON.stringify([hold['id'], hold['owner'], hold['attempt']])
}

function migrationStatements(table: string): MigrationTexts {
  const versions = `${table.slice(0, -1)}_migration"`
  return {
    together: {
      lock: 'select 1', // BEGIN IMMEDIATE has it.
      limitLockWait: 'select 1',
    },
    createVersions: `
      create table if not exists ${versions} (
        version integer primary key, applied_at integer not null default (${NOW})) strict`,
    versions: `select version from ${versions} order by version`,
    addVersion: `insert into ${versions} (version) values ($1)`,
    tableExists: `select name as column_name from pragma_table_info('${table.replaceAll('"', '')}')`,
  }
}

async function check(query: Runner['query']): Promise<readonly StoreProblem[]> {
  const problems: StoreProblem[] = []
  const [journal] = await query({ text: 'pragma journal_mode', values: [] })
  if (journal?.['journal_mode'] !== 'wal') {
    const mode = String(journal?.['journal_mode'])
    const message = `journal_mode is ${mode}: readers and the writer block each other; set it to wal`
    problems.push({ code: 'journal_mode_not_wal', message })
  }
  const [synchronous] = await query({ text: 'pragma synchronous', values: [] })
  if (synchronous === undefined || number(synchronous, 'synchronous') < 2) {
    const message = 'synchronous is below FULL: acknowledged results are lost in a power cut'
    problems.push({ code: 'synchronous_not_full', message })
  }
  return problems
}

/** SQLite. */
export const sqlite: Dialect = {
  name: 'sqlite',
  stage: sqliteTexts,
  steps,
  migrations: sqliteMigrations,
  migrationStatements,
  check,
  quote: (table) => {
    if (IDENTIFIER.test(table)) return `"${table}"`
    throw new ConfigError(
      `table: expected a name in lower case letters, digits and "_", got ${JSON.stringify(table)}.`,
    )
  },
  failureOf,
  hasAnswered,
  guard: SAVEPOINT,
  isSnapshot: () => false,
}

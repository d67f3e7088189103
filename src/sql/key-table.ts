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

/** Each column that is returned costs the server and the driver a little, so each statement returns what is new. */
interface Returned {
  /** What is known of its lease. */
  readonly seen: string
  /** The entity. */
  readonly entity: string
  /** Both. */
  readonly record: string
}

/** @param place - where a row is. CockroachDB's rows have no place */
function returned(place: string): Returned {
  const lease = `k.owner, k.attempt, k.revision, ${LAPSED} as lapsed, ${place} as place`
  const columns = KEY_COLUMNS.map((column) => `k.${column}`).join(', ')
  return {
    seen: `k.id, k.recovery_point, ${lease}`,
    entity: `${columns}, ${place} as place`,
    record: `${columns}, ${lease}`,
  }
}

const LEASE = `clock_timestamp() + $1::float8 * interval '1 millisecond'`

/** One change, three ways to find its record. */
export interface StageEnd {
  /** no row: fenced */
  readonly byId: string
  /** no row: fenced, or elsewhere by now. The place is the last value */
  readonly byPlace: string
  /** division_by_zero: fenced. It must raise, since COMMIT is on its way behind it */
  readonly last: string
}

/** The texts for one table. */
export interface KeyTable {
  readonly insert: string
  readonly insertAll: string
  readonly look: string
  readonly take: string
  readonly lockRow: string
  readonly lockPlace: string
  readonly advance: StageEnd
  readonly finish: StageEnd
  readonly renew: string
  readonly release: string
  /** Sets some columns of the entity; the values follow the statement's own. */
  update(columns: readonly KeyColumn[]): string
}

/**
 * @param table - the quoted name
 * @param hasPlaces - true: PostgreSQL; false: CockroachDB
 */
export function keyTable(table: string, hasPlaces: boolean): KeyTable {
  const place = hasPlaces ? 'k.ctid' : `''`
  const columns = returned(place)
  return {
    ...claiming(table, columns),
    ...locking(table, columns),
    ...advancing(table, columns),
    ...keeping(table, place),
    ...updating(table, columns),
  }
}

function claiming(
  table: string,
  { entity, record }: Returned,
): Pick<KeyTable, 'insert' | 'insertAll' | 'look' | 'take'> {
  return {
    /** in   1 lease ms · 2 id · 3 key · 4 method · 5 params json · 6 path · 7 owner, or null: held by nobody
     *       8 retention ms
     *  out  the entity; no row: the key is there. No error, which would abort the caller's transaction
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
      returning ${entity}`,

    /** in   1 json array of what insert is given · 2 lock timeout
     *  out  as insert. In the order of the keys, or two of these could wait for each other
     *  plan unique index of the key. A route that has inserted a key and not committed makes all others of the array
     *       wait: until the lock timeout, which is set when the array is read and undone with the statement */
    insertAll: `
      insert into ${table} as k (
        id, idempotency_key, request_method, request_params, request_path, recovery_point, state, owner,
        locked_at, locked_until, expires_at)
      select a.id, a.key, a.method, a.params::text::jsonb, a.path, 'started', 'running', a.owner,
             case when a.owner is not null then clock_timestamp() end,
             case when a.owner is not null then clock_timestamp() + a.lease_ms * interval '1 millisecond' end,
             clock_timestamp() + a.retention_ms * interval '1 millisecond'
        from (select set_config('lock_timeout', $2::text, true)) as limited,
             json_to_recordset($1::text::json) as a(
               id text, key text, method text, params text, path text, owner text,
               lease_ms float8, retention_ms float8)
       order by a.key
          on conflict (idempotency_key) do nothing
      returning ${entity}`,

    /** in   1 key · 2 method · 3 path · 4 params json
     *  out  the record; \`other\` where it was made by another request. What neither has said is not compared
     *  plan unique index of the key */
    look: `
      select ${record},
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
      returning ${record}`,
  }
}

function locking(table: string, { seen }: Returned): Pick<KeyTable, 'lockRow' | 'lockPlace'> {
  return {
    /** in   1 key
     *  out  its lease, locked until the transaction ends; no row: there is none, or another stage holds it
     *  plan unique index of the key */
    lockRow: `
      select ${seen}
        from ${table} k
       where k.idempotency_key = $1
         for update skip locked`,

    /** in   1 key · 2 where it was seen last
     *  out  as lockRow; no row: it is elsewhere by now, too
     *  plan by place. A scan of an index at SERIALIZABLE reads a whole page of it, and whoever inserts into that page
     *       is then in conflict: https://www.postgresql.org/docs/current/transaction-iso.html#XACT-SERIALIZABLE */
    lockPlace: `
      select ${seen}
        from ${table} k
       where k.ctid = $2::tid and k.idempotency_key = $1
         for update skip locked`,
  }
}

/** The row has been locked since lockRow; no indexed column changes. Found by primary key, or by place as lockPlace. */
function advancing(table: string, { entity }: Returned): Pick<KeyTable, 'advance' | 'finish'> {
  const asSeen = `k.attempt = $2::int and k.recovery_point <> 'finished'`
  const end = (place: string, set: string): StageEnd => {
    const update = (attempt: string): string => `
      update ${table} k
         set attempt = ${attempt}, revision = k.revision + 1, ${set}`
    return {
      byId: `${update('$3::int')}
       where k.id = $1 and ${asSeen}
      returning ${entity}`,
      byPlace: `${update('$3::int')}
       where k.ctid = ${place}::tid and k.id = $1 and ${asSeen}
      returning ${entity}`,
      // By a division that the planner cannot make beforehand.
      last: `${update(`case when ${asSeen} then $3::int else 1 / (k.attempt - k.attempt) end`)}
       where k.id = $1
      returning ${entity}`,
    }
  }
  return {
    /** in   1 id · 2 attempt seen · 3 attempt · 4 owner · 5 lease ms · 6 next point · (7 place)
     *  out  the entity as stored */
    advance: end(
      '$7',
      `recovery_point = $6, owner = $4::text, locked_at = coalesce(k.locked_at, clock_timestamp()),
             locked_until = clock_timestamp() + $5::float8 * interval '1 millisecond'`,
    ),

    /** in   1 id · 2 attempt seen · 3 attempt · 4 status · 5 body json · (6 place)
     *  out  the entity as stored */
    finish: end(
      '$6',
      `recovery_point = 'finished', state = 'finished', response_code = $4::int, response_body = $5::text::jsonb,
             owner = null, locked_at = null, locked_until = null`,
    ),
  }
}

function updating(table: string, { record }: Returned): Pick<KeyTable, 'update'> {
  return {
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
      returning ${record}`,
  }
}

function keeping(table: string, place: string): Pick<KeyTable, 'renew' | 'release'> {
  return {
    /** in   1 lease ms · 2 json array of holds
     *  out  where they are now: who lost a lease learns it at the next stage
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
       where k.id = ours.id
      returning k.idempotency_key as key, ${place} as place`,

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

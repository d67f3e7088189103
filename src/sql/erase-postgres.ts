/**
 * The statements of PostgreSQL that forget: tombstones, the erasure of a scope, and the deletion of one record.
 * Decisions: ADR 0027. Pitfalls behind the shapes: docs/internals/sql.md.
 */
import { ERASED } from '../core/record.ts'
import { erasableBy, TOMBSTONE } from './erase.ts'
import { LAPSED } from './postgres-record.ts'

/** What `postgresTexts` has beside the steps of a request. */
export interface ErasureTexts {
  readonly reapOrErase: string
  readonly forget: string
  readonly erasable: string
  readonly erase: string
}

/** @param table - the quoted name */
export function postgresErasureTexts(table: string): ErasureTexts {
  return {
    reapOrErase: reapOrErase(table),
    /** in   1 id · 2 attempt seen · 3 revision seen · 4 state seen
     *  out  its id; no row: not as it was seen, its lease is live, or a commit holds it
     *  plan primary key */
    forget: `
      with seen as (
        select k.id
          from ${table} k
         where k.id = $1 and k.attempt = $2 and k.revision = $3 and k.state = $4
           and (k.state <> 'running' or ${LAPSED})
           for update skip locked
      )
      delete from ${table} k
       using seen
       where k.id = seen.id
      returning k.id`,

    /** in   1 id behind which it looks · 2 limit · 3 scope
     *  out  the next records, in id order; the scope of those that are of this one, else nothing
     *  plan primary key. Nothing is locked */
    erasable: `
      select k.id, case when k.scope = $3 then k.scope else '' end as scope,
             (${erasableBy(LAPSED)})::int as is_free
        from ${table} k
       where k.id > $1
       order by k.id
       limit $2`,

    /** in   1 json array of ids · 2 tombstone ms
     *  out  those made tombstones of. One that is missing: its lease is live again, or a commit holds it
     *  plan primary key */
    erase: `
      with free as (
        select k.id
          from ${table} k
         where k.id = any (array(select json_array_elements_text($1::text::json)))
           and ${erasableBy(LAPSED)}
           for update skip locked
      )
      update ${table} k
         set ${TOMBSTONE},
             expires_at = clock_timestamp() + $2::float8 * interval '1 millisecond'
        from free
       where k.id = any (array(select id from free)) and k.id = free.id
      returning k.id`,
  }
}

/** in   1 limit · 2 grace ms · 3 tombstone ms
 *  out  the ids deleted, which were tombstones, and those made tombstones of
 *  plan as reap, whose longer form it is: the predicate is checked again by both changes */
function reapOrErase(table: string): string {
  return `
      with expired as (
        select k.id, k.fingerprint = '${ERASED}' as is_tombstone
          from ${table} k
         where k.expires_at < (select clock_timestamp()) - $2::float8 * interval '1 millisecond'
           and k.state = 'finished'
         order by k.expires_at
         limit $1
           for update skip locked
      ), deleted as (
        delete from ${table} k
         using expired
         where k.id = any (array(select id from expired))
           and k.id = expired.id and expired.is_tombstone and k.state = 'finished'
           and k.expires_at < clock_timestamp() - $2::float8 * interval '1 millisecond'
        returning k.id
      ), erased as (
        update ${table} k
           set ${TOMBSTONE},
               expires_at = clock_timestamp() + $3::float8 * interval '1 millisecond'
          from expired
         where k.id = any (array(select id from expired))
           and k.id = expired.id and not expired.is_tombstone and k.state = 'finished'
           and k.expires_at < clock_timestamp() - $2::float8 * interval '1 millisecond'
        returning k.id
      )
      select id from deleted
       union all
      select id from erased`
}

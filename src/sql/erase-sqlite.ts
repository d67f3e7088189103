/**
 * The statements of SQLite that forget, in the order of erase-postgres.ts. There is one writer at a time: each change
 * checks its predicate again, so a look before it needs no transaction.
 * Decisions: ADR 0027.
 */
import { ERASED } from '../core/record.ts'
import { erasableBy, TOMBSTONE } from './erase.ts'
import { number, text } from './rows.ts'
import type { Runner } from './steps.ts'

/** The statements. */
export interface SqliteErasureTexts {
  readonly reapable: string
  readonly reapTombstones: string
  readonly eraseExpired: string
  readonly forget: string
  readonly erasable: string
  readonly erase: string
}

/** How the dialect writes instants, and that nobody works on a record. */
interface SqliteWords {
  readonly now: string
  readonly lapsed: string
}

/** @param table - the quoted name */
export function sqliteErasureTexts(
  table: string,
  { now, lapsed }: SqliteWords,
): SqliteErasureTexts {
  return {
    /** in   1 limit · 2 grace ms
     *  out  ids that may be deleted, and whether each is a tombstone
     *  plan index on expires_at */
    reapable: `
      select id, (fingerprint = '${ERASED}') as is_tombstone
        from ${table}
       where expires_at < ${now} - $2 and state = 'finished'
       order by expires_at
       limit $1`,

    /** in   1 json array of ids · 2 grace ms
     *  out  the ids deleted
     *  plan primary key */
    reapTombstones: `
      delete from ${table}
       where id in (select value from json_each($1)) and fingerprint = '${ERASED}'
         and state = 'finished' and expires_at < ${now} - $2
      returning id`,

    /** in   1 json array of ids · 2 grace ms · 3 tombstone ms
     *  out  the ids made tombstones of
     *  plan primary key */
    eraseExpired: `
      update ${table}
         set ${TOMBSTONE}, expires_at = ${now} + cast($3 as integer)
       where id in (select value from json_each($1)) and fingerprint <> '${ERASED}'
         and state = 'finished' and expires_at < ${now} - $2
      returning id`,

    /** in   1 id · 2 attempt seen · 3 revision seen · 4 state seen
     *  out  its id; no row: not as it was seen, or its lease is live
     *  plan primary key */
    forget: `
      delete from ${table}
       where id = $1 and attempt = $2 and revision = $3 and state = $4
         and (state <> 'running' or ${lapsed})
      returning id`,

    /** in   1 id behind which it looks · 2 limit · 3 scope
     *  out  the next records, in id order; the scope of those that are of this one, else nothing
     *  plan primary key */
    erasable: `
      select id, case when scope = $3 then scope else '' end as scope,
             (${erasableBy(lapsed)}) as is_free
        from ${table}
       where id > $1
       order by id
       limit $2`,

    /** in   1 json array of ids · 2 tombstone ms
     *  out  those made tombstones of. One that is missing: its lease is live again
     *  plan primary key */
    erase: `
      update ${table}
         set ${TOMBSTONE}, expires_at = ${now} + cast($2 as integer)
       where id in (select value from json_each($1)) and ${erasableBy(lapsed)}
      returning id`,
  }
}

/** How many were deleted, which were tombstones, or made tombstones of. */
export async function reapOrErase(
  query: Runner['query'],
  texts: SqliteErasureTexts,
  [limit, graceMs, tombstoneMs]: readonly [limit: number, graceMs: number, tombstoneMs: number],
): Promise<number> {
  const found = await query({ text: texts.reapable, values: [limit, graceMs] })
  const idsOf = (isTombstone: number): readonly string[] =>
    found.filter((row) => number(row, 'is_tombstone') === isTombstone).map((row) => text(row, 'id'))
  const change = async (
    changed: string,
    ids: readonly string[],
    values: readonly number[],
  ): Promise<number> => {
    if (ids.length === 0) return 0
    return (await query({ text: changed, values: [JSON.stringify(ids), ...values] })).length
  }
  const deleted = await change(texts.reapTombstones, idsOf(1), [graceMs])
  return deleted + (await change(texts.eraseExpired, idsOf(0), [graceMs, tombstoneMs]))
}

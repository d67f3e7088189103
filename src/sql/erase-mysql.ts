/**
 * The statements and steps of MySQL and MariaDB that forget, in the order of erase-postgres.ts: lock, then change.
 * Decisions: ADR 0027. Pitfalls behind the shapes: docs/internals/sql.md.
 */
import type { Rows } from './database.ts'
import { erasableBy, TOMBSTONE } from './erase.ts'
import { after, marks, padded } from './mysql-words.ts'
import { number, text } from './rows.ts'
import type { Runner, Steps } from './steps.ts'

/** The statements. */
export interface MysqlErasureTexts {
  tombstone(count: number): string
  readonly lockSeen: string
  erasable(limit: number): string
  lockErasable(count: number): string
}

/** Those of reaping, which are with the steps of a request. */
interface ReapingTexts {
  reapable(limit: number): string
  lockReapable(count: number): string
  reap(count: number): string
}

/** @param table - the quoted name */
export function mysqlErasureTexts(table: string, lapsed: string): MysqlErasureTexts {
  return {
    /** in   1 tombstone ms · ids, of rows that are locked
     *  plan primary key */
    tombstone: (count) => `
      update ${table}
         set ${TOMBSTONE}, expires_at = ${after('$1')}
       where id in (${marks(count, 1)})`,

    /** in   1 id · 2 attempt seen · 3 revision seen · 4 state seen
     *  out  its id; no row: not as it was seen, its lease is live, or a commit holds it
     *  plan primary key */
    lockSeen: `
      select id
        from ${table}
       where id = $1 and attempt = $2 and revision = $3 and state = $4
         and (state <> 'running' or ${lapsed})
         for update skip locked`,

    /** in   1 id behind which it looks · 2 scope
     *  out  the next records, in id order; the scope of those that are of this one, or by a collation that pads with
     *       spaces, of one that is nearly so
     *  plan primary key, by force. Nothing is locked. The limit is in the text: a prepared statement takes no number
     *       there */
    erasable: (limit) => `
      select id, case when scope = $2 then scope else '' end as scope,
             (${erasableBy(lapsed)}) as is_free
        from ${table} force index (primary)
       where id > $1
       order by id
       limit ${String(Math.trunc(limit))}`,

    /** in   ids
     *  out  those that may be made tombstones of, locked
     *  plan primary key, by force: of a small table another way may look cheaper */
    lockErasable: (count) => `
      select id
        from ${table} force index (primary)
       where id in (${marks(count)}) and ${erasableBy(lapsed)}
         for update skip locked`,
  }
}

/** How many were deleted, or made tombstones of. */
export async function reap(
  texts: ReapingTexts & MysqlErasureTexts,
  { query, transaction }: Runner,
  [limit, graceMs, tombstoneMs]: Parameters<Steps['reap']>,
): Promise<number> {
  const found = await query({ text: texts.reapable(limit), values: [graceMs] })
  if (found.length === 0) return 0
  return await transaction(async (within) => {
    const ids = padded(idsOf(found))
    const still = { text: texts.lockReapable(ids.length), values: [graceMs, ...ids] }
    const locked = await within(still)
    const toErase = locked.filter((row) => tombstoneMs > 0 && number(row, 'is_tombstone') === 0)
    const toDelete = padded(idsOf(locked.filter((row) => !toErase.includes(row))))
    if (toDelete.length > 0) await within({ text: texts.reap(toDelete.length), values: toDelete })
    await bury(texts, within, idsOf(toErase), tombstoneMs)
    return locked.length
  })
}

/** Those that forget. */
export function erasureSteps(
  texts: ReapingTexts & MysqlErasureTexts,
  { query, transaction }: Runner,
): Pick<Steps, 'forget' | 'erasable' | 'erase'> {
  return {
    forget: ({ id, attempt, revision, state }) =>
      transaction(async (within) => {
        const seen = { text: texts.lockSeen, values: [id, attempt, revision, state] }
        const locked = await within(seen)
        if (locked.length > 0) await within({ text: texts.reap(1), values: [id] })
        return locked
      }),
    erasable: ({ after: behind, limit, scope }) =>
      query({ text: texts.erasable(limit), values: [behind, scope] }),
    erase: (ids, tombstoneMs) =>
      transaction(async (within) => {
        const list = padded(ids)
        const locked = await within({ text: texts.lockErasable(list.length), values: list })
        await bury(texts, within, idsOf(locked), tombstoneMs)
        return locked
      }),
  }
}

async function bury(
  texts: MysqlErasureTexts,
  within: Runner['query'],
  ids: readonly string[],
  tombstoneMs: number,
): Promise<void> {
  const list = padded(ids)
  if (list.length === 0) return
  await within({ text: texts.tombstone(list.length), values: [tombstoneMs, ...list] })
}

function idsOf(rows: Rows): readonly string[] {
  return rows.map((row) => text(row, 'id'))
}

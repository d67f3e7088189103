/**
 * The steps of SQLite in which the backlog has a part, each in one transaction whose first statement is a change: so it
 * is the writer from its start on, also where a library begins DEFERRED.
 * Decisions: ADR 0025. Pitfalls behind the shapes: docs/internals/sql.md.
 */
import type { ClaimInput } from '../core/store.ts'
import { backlogOf, GONE_AFTER_S, overOf, withTries } from './backlog.ts'
import type { Rows } from './database.ts'
import { claimsText } from './payload.ts'
import { text } from './rows.ts'
import type { Runner, Steps } from './steps.ts'

type Within = Runner['query']

/** The statements. */
export interface SqliteBacklogTexts {
  readonly enter: string
  readonly due: string
  readonly looked: string
  readonly removed: string
  readonly putOff: string
}

/** How the dialect writes instants, and what it reads of a record. */
export interface SqliteWords {
  readonly now: string
  readonly whole: string
}

/** @param table - the quoted name */
export function sqliteBacklogTexts(table: string, { now, whole }: SqliteWords): SqliteBacklogTexts {
  const backlog = backlogOf(table)
  return {
    /** in   1 json array of claims with tasks
     *  out  their ids
     *  plan primary key. An entry of an earlier execution may be there: it becomes this one's */
    enter: `
      insert into ${backlog} (id, operation, due_at, tries, created_at)
      select a.value ->> 'id', a.value ->> 'operation', ${now} + cast(a.value ->> 'due_ms' as integer), 0, ${now}
        from json_each($1) as a
       where true
          on conflict (id) do update
         set operation = excluded.operation, due_at = excluded.due_at, tries = 0, created_at = excluded.created_at
      returning id`,

    /** in   1 operation · 2 limit · 3 again ms
     *  out  the entries that were due, put off already
     *  plan index on (operation, due_at), then primary key */
    due: `
      update ${backlog}
         set due_at = ${now} + cast($3 as integer)
       where id in (
         select e.id
           from ${backlog} e
          where e.operation = $1 and e.due_at <= ${now}
          order by e.due_at
          limit $2)
      returning id, tries, (created_at < ${now} - ${String(GONE_AFTER_S * 1_000)}) as old`,

    /** in   1 json array of ids
     *  out  the records that are there, whole
     *  plan primary key */
    looked: `
      select ${whole}
        from ${table}
       where id in (select value from json_each($1))`,

    /** in   1 json array of ids
     *  out  those whose entries are gone
     *  plan primary key */
    removed: `
      delete from ${backlog}
       where id in (select value from json_each($1))
      returning id`,

    /** in   1 id · 2 ms · 3 tries
     *  out  its id; no row: no such record, none with a task, or it is over
     *  plan primary key */
    putOff: `
      insert into ${backlog} (id, operation, due_at, tries, created_at)
      select id, operation, ${now} + cast($2 as integer), cast($3 as integer), ${now}
        from ${table}
       where id = $1 and version is not null and state <> 'finished'
          on conflict (id) do update
         set due_at = excluded.due_at, tries = excluded.tries
      returning id`,
  }
}

/** What was inserted, with its entries: in one commit where there are any. */
export async function insertWithEntries(
  { query, transaction }: Runner,
  texts: { readonly claim: string; readonly enter: string },
  claims: readonly ClaimInput[],
): Promise<Rows> {
  const insert = { text: texts.claim, values: [claimsText(claims)] }
  if (claims.every(({ task }) => task === undefined)) return await query(insert)
  return await transaction(async (within) => {
    const inserted = await within(insert)
    const owners = new Map(inserted.map((row) => [text(row, 'id'), text(row, 'owner')]))
    const ours = claims.filter(({ id, owner, task }) => task && owners.get(id) === owner)
    if (ours.length > 0) await within({ text: texts.enter, values: [claimsText(ours)] })
    return inserted
  })
}

/** A record that began anew, with its entry. */
export async function resetWithEntry(
  { query, transaction }: Runner,
  texts: { readonly reset: string; readonly enter: string },
  {
    input,
    values,
  }: { readonly input: Parameters<Steps['reset']>[0]; readonly values: readonly unknown[] },
): Promise<Rows> {
  const reset = { text: texts.reset, values }
  const { id, task } = input
  if (task === undefined) return await query(reset)
  return await transaction(async (within) => {
    const rows = await within(reset)
    if (rows.length === 0) return rows
    const entry = { id, operation: input.operation, due_ms: task.dueMs }
    await within({ text: texts.enter, values: [JSON.stringify([entry])] })
    return rows
  })
}

/** One row an entry, as {@link Steps.due} says. */
export async function due(
  { transaction }: Runner,
  texts: SqliteBacklogTexts,
  asked: readonly [operation: string, limit: number, againMs: number],
): Promise<Rows> {
  return await transaction(async (within) => {
    const entries = await within({ text: texts.due, values: asked })
    if (entries.length === 0) return []
    const records = await looked(within, texts, entries)
    const over = overOf(entries, records)
    const ids = JSON.stringify(over.map((entry) => text(entry, 'id')))
    if (over.length > 0) await within({ text: texts.removed, values: [ids] })
    return withTries(entries, records)
  })
}

async function looked(within: Within, texts: SqliteBacklogTexts, entries: Rows): Promise<Rows> {
  const ids = JSON.stringify(entries.map((entry) => text(entry, 'id')))
  return await within({ text: texts.looked, values: [ids] })
}

/**
 * The statements and steps of MySQL and MariaDB in which the backlog has a part. The input is stored as a JSON string
 * that holds its text: a JSON column of MySQL would give an object's members back in another order.
 * Decisions: ADR 0025. Pitfalls behind the shapes: docs/internals/sql.md.
 */
import { backlogOf, GONE_AFTER_S, isToDo, overOf, withTries } from './backlog.ts'
import type { Rows } from './database.ts'
import { after, listed, marks, NOW, padded } from './mysql-words.ts'
import { text } from './rows.ts'
import type { Runner, Steps } from './steps.ts'

/** The statements. */
export interface MysqlBacklogTexts {
  enter(count: number): string
  putOff: string
  turn(limit: number): string
  lockTurn(count: number): string
  again(count: number): string
  removed(count: number): string
}

/** What an entry is given, a value a column. */
const ENTRY_VALUES = 3

/** @param table - the quoted name */
export function mysqlBacklogTexts(table: string): MysqlBacklogTexts {
  const backlog = backlogOf(table)
  return {
    /** in   3 values an entry: id · operation · due ms; in id order, so that batches never deadlock
     *  plan primary key. One that is there already is of a record that was reaped, or of a claim as new as this one:
     *       it is due at once, which costs a look, or when that claim said, and as young as its record, so that no
     *       `due` removes it before the record is there */
    enter: (count) => `
      insert into ${backlog} (id, operation, due_at, tries, created_at)
      values ${listed(count, (at) => entryRow(at * ENTRY_VALUES))}
          on duplicate key update due_at = greatest(due_at, ${NOW}), tries = 0, created_at = ${NOW}`,

    /** in   1 id · 2 operation · 3 ms · 4 tries
     *  plan primary key */
    putOff: `
      insert into ${backlog} (id, operation, due_at, tries, created_at)
      values ($1, $2, ${after('$3')}, $4, ${NOW})
          on duplicate key update due_at = ${after('$3')}, tries = $4`,

    /** in   1 operation
     *  out  ids of entries that are due. Nothing is locked: whoever locks by this index and changes by the primary
     *       key deadlocks with another who does (docs/internals/sql.md)
     *  plan index on (operation, due_at). The limit is in the text: a prepared statement takes no number there */
    turn: (limit) => `
      select id
        from ${backlog}
       where operation = $1 and due_at <= ${NOW}
       order by due_at
       limit ${String(Math.trunc(limit))}`,

    /** in   ids
     *  out  those that are still due, locked, each with its tries. Another's are skipped
     *  plan primary key, by force: of a small table the other index may look cheaper */
    lockTurn: (count) => `
      select id, tries,
             (created_at < ${NOW} - interval ${String(GONE_AFTER_S)} second) as old
        from ${backlog} force index (primary)
       where id in (${marks(count)}) and due_at <= ${NOW}
         for update skip locked`,

    /** in   1 again ms · ids, of entries that are locked
     *  plan primary key */
    again: (count) => `
      update ${backlog}
         set due_at = ${after('$1')}
       where id in (${marks(count, 1)})`,

    /** in   ids, of entries that are locked
     *  plan primary key */
    removed: (count) => `
      delete from ${backlog}
       where id in (${marks(count)})`,
  }
}

function entryRow(from: number): string {
  const at = (nth: number): string => `$${String(from + nth)}`
  return `(${at(1)}, ${at(2)}, ${after(at(3))}, 0, ${NOW})`
}

/** What the entry of a claim is made of. */
export interface EntryInput {
  readonly id: string
  readonly operation: string
  readonly dueMs: number
}

/** Makes entries, in id order. */
export async function enter(
  query: Runner['query'],
  texts: MysqlBacklogTexts,
  entries: readonly EntryInput[],
): Promise<void> {
  if (entries.length === 0) return
  const rows = padded(entries.toSorted((a, b) => (a.id < b.id ? -1 : 1)))
  const values = rows.flatMap(({ id, operation, dueMs }) => [id, operation, dueMs])
  await query({ text: texts.enter(rows.length), values })
}

/** One row an entry, as {@link Steps.due} says. The records are read behind the locks, so each is its entry's own. */
export async function due(
  { query, transaction }: Runner,
  texts: MysqlBacklogTexts & { find(count: number): string },
  [operation, limit, againMs]: Parameters<Steps['due']>,
): Promise<Rows> {
  const turn = await query({ text: texts.turn(limit), values: [operation] })
  if (turn.length === 0) return []
  return await transaction(async (within) => {
    const ids = padded(turn.map((row) => text(row, 'id')))
    const entries = await within({ text: texts.lockTurn(ids.length), values: ids })
    if (entries.length === 0) return []
    const locked = padded(entries.map((row) => text(row, 'id')))
    const records = await within({ text: texts.find(locked.length), values: locked })
    await within({ text: texts.again(locked.length), values: [againMs, ...locked] })
    const over = padded(overOf(entries, records).map((row) => text(row, 'id')))
    if (over.length > 0) await within({ text: texts.removed(over.length), values: over })
    return withTries(entries, records)
  })
}

/** Looks first: an insert that selects would lock the record, or wait for a commit that does. */
export async function putOff(
  query: Runner['query'],
  texts: MysqlBacklogTexts & { find(count: number): string },
  [id, ms, tries]: Parameters<Steps['putOff']>,
): Promise<void> {
  const records = await query({ text: texts.find(1), values: [id] })
  const [record] = records.filter(isToDo)
  if (record === undefined) return
  await query({ text: texts.putOff, values: [id, text(record, 'operation'), ms, tries] })
}

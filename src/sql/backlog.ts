/**
 * The backlog over SQL: a table beside the records, of hints for completers (ADR 0025). What is the same in all
 * dialects; their statements are in backlog-postgres.ts, backlog-mysql.ts and backlog-sqlite.ts.
 */
import type { Backlog, ClaimInput } from '../core/store.ts'
import type { Rows } from './database.ts'
import { dueRecordOf, number, text } from './rows.ts'
import type { Steps } from './steps.ts'

/** An entry without a record is removed when it is older: on MySQL the entry of a claim comes before its record. */
export const GONE_AFTER_S = 3_600

/** The quoted name of the table beside `table`, which is quoted too. */
export function backlogOf(table: string): string {
  return `${table.slice(0, -1)}_backlog${table.slice(-1)}`
}

/** @param asked - translates what a step throws */
export function sqlBacklog(
  { due, putOff }: Pick<Steps, 'due' | 'putOff'>,
  asked: <R>(doing: string, answer: Promise<R>) => Promise<R>,
): Backlog {
  return {
    due: async (operation, limit, againMs) => {
      const rows = await asked('looking for what is due', due(operation, limit, againMs))
      return {
        seen: rows.length,
        records: rows.filter((row) => row['tries'] !== null).map(dueRecordOf),
      }
    },
    putOff: (id, ms, tries) => asked('putting a record off', putOff(id, ms, tries)),
  }
}

/** What a task leaves in its record and in the backlog: input, version, principal, due ms. */
export function taskValues(task: ClaimInput['task']): readonly (string | number | null)[] {
  if (task === undefined) return [null, null, null, null]
  return [task.input, task.version, task.principal ?? null, task.dueMs]
}

/** Entries that nobody will ever have to look at. `old` is 1 where the entry would have its record by now. */
export function overOf(entries: Rows, records: Rows): Rows {
  const byId = new Map(records.map((row) => [text(row, 'id'), row]))
  return entries.filter((entry) => {
    const record = byId.get(text(entry, 'id'))
    return record === undefined ? number(entry, 'old') === 1 : !isToDo(record)
  })
}

/** One row an entry: the record that is to be worked on and its tries; none of both where there is nothing to do. */
export function withTries(entries: Rows, records: Rows): Rows {
  const toDo = new Map(records.filter(isToDo).map((row) => [text(row, 'id'), row]))
  return entries.map((entry) => {
    const record = toDo.get(text(entry, 'id'))
    return record === undefined ? { tries: null } : { ...record, tries: entry['tries'] }
  })
}

/** Unfinished, with a task. */
export function isToDo(record: Rows[number]): boolean {
  return text(record, 'state') !== 'finished' && record['version'] !== null
}

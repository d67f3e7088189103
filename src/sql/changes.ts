/** How changes in autocommit travel: all in one statement that tells which were made, or one by one in one commit. */
import { isMade, number } from './rows.ts'
import { batchText, type ChangeText, changeText, changeValues, weightOf } from './payload.ts'
import type { Changes, Runner } from './steps.ts'
import type { Statement } from './database.ts'

/** @param text - takes a JSON array of changes; returns the number (`at`) of each that was made */
export function inOneStatement(query: Runner['query'], text: string): Changes<ChangeText> {
  return {
    ready: changeText,
    weigh: (change) => change.text.length,
    run: async (changes) => {
      const rows = await query({ text, values: [batchText(changes)] })
      const made = new Set(rows.map((row) => number(row, 'at')))
      return changes.map(({ at }) => made.has(at))
    },
  }
}

/** @param statement - one change; returns a row, or `changed`, where it was made */
export function oneByOne(
  { query, transaction }: Runner,
  statement: Changes<Statement>['ready'],
): Changes<Statement> {
  return {
    ready: statement,
    weigh: ({ values }) => weightOf(values),
    run: async (changes) => {
      const [only] = changes
      if (only !== undefined && changes.length === 1) return [isMade(await query(only))]
      return await transaction(async (within) => {
        const made: boolean[] = []
        for (const change of changes) made.push(isMade(await within(change)))
        return made
      })
    },
  }
}

/** The values of a change other than finish, in the order of the dialects' `write`. */
export function writeOf(text: string): Changes<Statement>['ready'] {
  return (hold, write) => ({ text, values: changeValues(hold, write) })
}

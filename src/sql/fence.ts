/** The last statement of a stage's transaction: the record's own change, where the record is as it was seen. */
import { StoreFailedError } from '../core/errors.ts'
import { stagesText } from '../core/record.ts'
import type { Hold, Write } from '../core/store.ts'
import { FencedError, type Rows, type Statement } from './database.ts'
import type { Dialect, StageTexts } from './dialect.ts'
import { isMade } from './rows.ts'

/** @throws {@link StoreFailedError} a change that no transaction makes */
export function fenceOf(
  texts: Pick<StageTexts, 'fenceAdvance' | 'fenceFinish'>,
  { id, owner, attempt }: Hold,
  write: Write,
): Statement {
  switch (write.kind) {
    case 'advance': {
      const { from, to, stages, leaseMs, revision } = write
      const values = [id, owner, attempt, from, to, stagesText(stages), leaseMs, revision]
      return { text: texts.fenceAdvance, values }
    }
    case 'finish': {
      const { from, outcome, retentionMs, revision } = write
      const { status, headers, body } = outcome
      const stored = [status, JSON.stringify(headers), body ?? null]
      return {
        text: texts.fenceFinish,
        values: [id, owner, attempt, from, ...stored, retentionMs, revision],
      }
    }
    case 'journal':
    case 'unknown':
    case 'release':
      throw new StoreFailedError(
        `committing with ${write.kind}`,
        new Error('only a stage or finish has a transaction'),
      )
  }
}

/** For isolation above READ COMMITTED. */
export function lockFirstOf(
  texts: Pick<StageTexts, 'lockFirst'>,
  { id, owner, attempt }: Hold,
): Statement {
  return { text: texts.lockFirst, values: [id, owner, attempt] }
}

/** Sends a statement that matches the record as it was seen. @throws {@link FencedError} it is not: roll back */
export async function mustHold(
  statement: Statement,
  send: (statement: Statement) => Promise<Rows>,
  { failureOf }: Pick<Dialect, 'failureOf'>,
): Promise<void> {
  let rows: Rows
  try {
    rows = await send(statement)
  } catch (error) {
    throw failureOf(error) === 'fenced' ? new FencedError(error) : error
  }
  if (!isMade(rows)) throw new FencedError(undefined)
}

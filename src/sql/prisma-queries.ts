/**
 * How Prisma is asked: statements in the form of each of its adapters, and the savepoint that guards a transaction
 * (guard.ts) as one of its own nested transactions. MySQL takes no savepoint in a prepared statement, and what is raw
 * is sent as one; what Prisma begins by itself is not.
 */
import { RolledBackError, type Rows, type Statement } from './database.ts'
import type { Dialect } from './dialect.ts'
import { SAVEPOINT } from './guard.ts'
import { questionMarks } from './placeholders.ts'

/** What Pawl calls on a client and on its transactions. */
export interface PrismaQueries {
  $queryRawUnsafe(text: string, ...values: never[]): Promise<unknown>
  $executeRawUnsafe(text: string, ...values: never[]): Promise<number>
}

type Send = (on: PrismaQueries, statement: Statement) => Promise<Rows>
type Work<Tx, R> = (tx: Tx) => Promise<R>

const READS = /^\s*select\b/i

/** One statement, as `dialect` has it. */
export function sendingOf({ name }: Pick<Dialect, 'name'>): Send {
  const ask: Send = async (on, { text, values }) =>
    (await on.$queryRawUnsafe(text, ...(values as never[]))) as Rows
  switch (name) {
    case 'postgres':
      return ask
    case 'sqlite':
      return (on, statement) => ask(on, questionMarks(statement))
    case 'mysql':
      return async (on, statement) => {
        const { text, values } = questionMarks(statement)
        if (READS.test(text)) return await ask(on, { text, values })
        return [{ changed: await on.$executeRawUnsafe(text, ...(values as never[])) }]
      }
  }
}

/** @throws {@link RolledBackError} the transaction was gone when the work had settled, and its savepoint with it */
export async function inSavepoint<Tx, R>(tx: Tx, work: Work<Tx, R>): Promise<R> {
  let isDone = false
  const nested = tx as { $transaction(work: Work<Tx, R>): Promise<R> }
  try {
    return await nested.$transaction(async (inner) => {
      const result = await work(inner)
      isDone = true
      return result
    })
  } catch (error) {
    throw isDone && SAVEPOINT.isGone(error) ? new RolledBackError() : error
  }
}

/**
 * A transaction for one stage, as `manager.transaction` would run it, with BEGIN and COMMIT in the messages of Pawl's
 * own statements where the driver can.
 */
import type { DataSource, EntityManager, QueryRunner } from 'typeorm'
import { JoinedTransaction } from '../sql/joined-transaction.ts'
import type { PreparedStatements } from '../sql/prepared.ts'
import { clientOf } from '../sql/runner-queries.ts'

/** Begins, runs the phase, commits; rolls back when it throws, and throws the very error. */
export async function joinedPhase<R>(
  manager: EntityManager,
  isolation: Parameters<QueryRunner['startTransaction']>[0],
  prepared: PreparedStatements,
  phase: (opened: EntityManager) => Promise<R>,
): Promise<R> {
  const given = manager.queryRunner
  const runner = given ?? dataSourceOf(manager).createQueryRunner()
  let joined: JoinedTransaction | undefined
  try {
    const client = await clientOf(runner)
    if (client !== undefined && client.pipeline !== true) {
      joined = new JoinedTransaction(runner, client, prepared)
    }
    await runner.startTransaction(isolation)
    const result = await phase(runner.manager)
    await runner.commitTransaction()
    return result
  } catch (error) {
    if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined)
    throw error
  } finally {
    joined?.leave()
    if (given === undefined) await runner.release()
  }
}

/** The data source of a manager: 1.x calls it dataSource, 0.3 connection. */
export function dataSourceOf(manager: EntityManager): DataSource {
  const { dataSource } = manager as { dataSource?: DataSource }
  return dataSource ?? (manager as unknown as { connection: DataSource }).connection
}

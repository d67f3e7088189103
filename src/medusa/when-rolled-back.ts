/**
 * Learns that a transaction which somebody else opened was rolled back: what the service did in it is then undone, and
 * nobody would tell it. The query runner is a connection's own; it may serve one transaction after another.
 */
import type { EntityManager } from 'typeorm'
import { isOpen } from './transaction-base-service.ts'

const listeners = new WeakMap<object, Set<() => void>>()

/** Calls `undone` once when the manager's transaction has been rolled back as a whole. No transaction: never. */
export function whenRolledBack(manager: EntityManager, undone: () => void): void {
  const runner = manager.queryRunner
  if (runner === undefined || !isOpen(manager)) return
  const known = listeners.get(runner)
  if (known !== undefined) {
    known.add(undone)
    return
  }
  const waiting = new Set([undone])
  listeners.set(runner, waiting)
  // A savepoint of a larger transaction is not the whole; what was done in it is decided by the larger one.
  const ended = (): readonly (() => void)[] => {
    if (runner.isTransactionActive) return []
    const told = [...waiting]
    waiting.clear()
    return told
  }
  const { commitTransaction, rollbackTransaction } = runner
  runner.commitTransaction = async () => {
    await commitTransaction.call(runner)
    ended()
  }
  runner.rollbackTransaction = async () => {
    try {
      await rollbackTransaction.call(runner)
    } finally {
      for (const tell of ended()) tell()
    }
  }
}

/**
 * Learns that a transaction which somebody else opened was rolled back: what the service did in it is then undone, and
 * nobody would tell it. The query runner is one transaction's own and is thrown away with it.
 */
import type { EntityManager } from 'typeorm'

const listeners = new WeakMap<object, Set<() => void>>()

/** Calls `undone` once when the manager's transaction has been rolled back as a whole. No transaction: never. */
export function whenRolledBack(manager: EntityManager, undone: () => void): void {
  const runner = manager.queryRunner
  if (runner?.isTransactionActive !== true) return
  const known = listeners.get(runner)
  if (known !== undefined) {
    known.add(undone)
    return
  }
  const waiting = new Set([undone])
  listeners.set(runner, waiting)
  const { rollbackTransaction } = runner
  runner.rollbackTransaction = async () => {
    try {
      await rollbackTransaction.call(runner)
    } finally {
      // A savepoint of a larger transaction is not the whole; what was done in it is decided by the larger one.
      if (!runner.isTransactionActive) {
        const told = [...waiting]
        waiting.clear()
        for (const tell of told) tell()
      }
    }
  }
}

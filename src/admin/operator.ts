/** What an operator does with one record: the one place for it, behind whatever shows it. */
import { ask } from '../core/ask.ts'
import { RecordNotFoundError, RecordStateError } from '../core/errors.ts'
import { forget, purge, type PurgeOptions, type PurgeReport } from '../core/forget.ts'
import type { Idempotency } from '../core/idempotency.ts'
import { sentCall, type StoppedState, type WholeRecord } from '../core/record.ts'
import type { Resolution } from '../core/resolution.ts'
import { decideUnknown, restart } from '../core/resolver.ts'

/** What came of an action. `moved`: the record changed meanwhile, and nothing was done; look again. */
export type OperatorResult = 'done' | 'moved'

/** An operator's actions. Each compares the record with what it saw, so two operators never undo each other. */
export interface Operator {
  /** The record, or undefined. */
  find(id: string): Promise<WholeRecord | undefined>
  /**
   * Says what came of the call at which a record stopped: `{ kind: 'done', result }`, with what the call would have
   * returned, or `{ kind: 'never' }`: it did not happen and never will, so it may be sent. The next attempt goes on: a
   * completer's soon, or the client's.
   *
   * @throws {@link RecordNotFoundError}
   * @throws {@link RecordStateError} it is not `unknown`
   */
  resolve(
    id: string,
    resolution: Exclude<Resolution, { readonly kind: 'unknown' }>,
  ): Promise<OperatorResult>
  /**
   * Lets a failed record be tried again, as often as at first.
   *
   * @throws {@link RecordNotFoundError}
   * @throws {@link RecordStateError} it is not `failed`
   */
  retry(id: string): Promise<OperatorResult>
  /**
   * Deletes a record: its key is new at once, and a retry is executed anew, also of one that was finished.
   *
   * @param options.evenIfStarted - one that is not finished goes as well where steps of it are recorded, which a retry
   *   then repeats; refused by default
   * @throws {@link RecordNotFoundError}
   * @throws {@link RecordStateError} somebody works on it, or it has begun and is not finished
   * @throws {@link StoreUnavailableError} no answer, of the store or of what remembers outcomes in front of it; again
   */
  forget(id: string, options?: { readonly evenIfStarted?: boolean }): Promise<OperatorResult>
  /**
   * Erases everything of a scope, in whatever state, but the ids: scopes, keys, requests, inputs and outcomes. What was
   * finished is not executed again while its tombstone stands; what was not finished never will be. It looks through
   * the whole table, in batches: there is no index on the scope.
   *
   * @param scope - as `scope` of the requests gave it
   * @throws {@link ConfigError} an option or the scope cannot be used, or the store forgets by itself
   * @throws {@link StoreUnavailableError} no answer: some of it may be erased. Purge again
   */
  purgeScope(scope: string | readonly string[], options?: PurgeOptions): Promise<PurgeReport>
}

/** The actions of an operator on the records of an idempotency. */
export function createOperator<Tx, Isolation extends string>({
  engine,
}: Idempotency<Tx, Isolation>): Operator {
  const { store } = engine
  const find = (id: string): Promise<WholeRecord | undefined> =>
    ask(engine, 'looking at a record', () => store.find(id))
  const stopped = async (id: string, state: StoppedState): Promise<WholeRecord> => {
    const record = await find(id)
    if (record === undefined) throw new RecordNotFoundError(id)
    if (record.state !== state)
      throw new RecordStateError({ id, state: record.state, wanted: state })
    return record
  }
  /** Whoever claims it may go on now; a completer is told so. */
  const awake = async (record: WholeRecord): Promise<void> => {
    if (record.task !== undefined)
      await ask(engine, 'telling the completers', async () =>
        store.backlog?.putOff(record.id, 0, 0),
      )
  }
  return {
    find,
    resolve: async (id, resolution) => {
      const record = await stopped(id, 'unknown')
      const { operation, attempt } = record
      const step = sentCall(record.stages) ?? ''
      if (!(await decideUnknown(engine, record, resolution))) return 'moved'
      engine.announce({
        type: 'resolved',
        id,
        operation,
        attempt,
        step,
        resolution: resolution.kind,
        by: 'operator',
      })
      await awake(record)
      return 'done'
    },
    retry: async (id) => {
      const record = await stopped(id, 'failed')
      // Before as well: should this process die behind the next line, it is counted anew all the same.
      await awake(record)
      const { operation, attempt } = record
      if (!(await restart(engine, record, 'failed'))) return 'moved'
      engine.announce({ type: 'retried', id, operation, attempt })
      await awake(record)
      return 'done'
    },
    forget: (id, { evenIfStarted = false } = {}) => forget(engine, id, evenIfStarted),
    purgeScope: (scope, options = {}) => purge(engine, scope, options),
  }
}

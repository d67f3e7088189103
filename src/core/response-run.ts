/**
 * What a run is over a store that keeps responses and has no transactions: calls, and a response, but no stage and no
 * finish. Types decide it; whoever goes by them is told when he calls.
 */
import { StepMisusedError } from './errors.ts'
import type { Run } from './run.ts'
import type { Store } from './store.ts'

/** A {@link Run} without stages. */
export type ResponseRun = Omit<Run<never, never>, 'stage' | 'finish'>

/** The run over a store: `Tx` is `never` where the store has no transactions. */
export type RunOver<Tx, Isolation extends string = string> = [Tx] extends [never]
  ? ResponseRun
  : Run<Tx, Isolation>

/** A {@link Store} that keeps responses and has no transactions. */
export type ResponseStore = Store<never, never>

/** The two verbs that such a store does not have. */
export const NO_TRANSACTIONS: Pick<ResponseStore, 'commit' | 'transaction'> = {
  commit: () => Promise.reject(noStages()),
  transaction: () => Promise.reject(noStages()),
}

function noStages(): StepMisusedError {
  return new StepMisusedError(
    'run.stage and run.finish: this store keeps responses and has no transactions. Return the response, and put what ' +
      'must not happen twice into run.call or into the store of your database, for example pgStore(pool).',
  )
}

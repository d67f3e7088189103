/**
 * The steps of the protocol that have no transaction of the application's, as a dialect takes them. What they throw is
 * the driver's own; the store translates it.
 */
import type { StoppedState } from '../core/record.ts'
import type {
  ClaimInput,
  EraseInput,
  ForgetInput,
  Hold,
  ResetInput,
  RestartInput,
  Seen,
  Store,
  TakeOverInput,
  Write,
} from '../core/store.ts'
import type { Rows, Statement } from './database.ts'
import type { RowsById } from './rows.ts'

/** Runs Pawl's own statements. */
export interface Runner {
  query(this: void, statement: Statement): Promise<Rows>
  /** Several in one transaction, at the connection's own level of isolation. */
  transaction<R>(
    this: void,
    work: (query: (statement: Statement) => Promise<Rows>) => Promise<R>,
  ): Promise<R>
}

/** What became of some claims. */
export interface Claimed {
  /** `id`, `owner` and `execution` of those that were inserted. */
  readonly inserted: RowsById
  /** The records that stand in the way of the others. */
  readonly found: RowsById
}

/** One kind of change, many of which may travel together. */
export interface Changes<Change = unknown> {
  /** What it says now: what its maker changes later is not in it. */
  ready(hold: Hold, write: Write): Change
  /** Characters, as near as matters. */
  weigh(change: Change): number
  /** In the order of the changes: true where it was made, false where it was fenced. */
  run(changes: readonly Change[]): Promise<readonly boolean[]>
}

/** Each returns rows as {@link Store} says what they mean: a record, or none. */
export interface Steps {
  claim(claims: readonly ClaimInput[]): Promise<Claimed>
  takeOver(input: TakeOverInput): Promise<Rows>
  stop(seen: Seen, to: StoppedState): Promise<Rows>
  restart(input: RestartInput): Promise<Rows>
  reset(input: ResetInput): Promise<Rows>
  readonly writes: Changes
  readonly finishes: Changes
  reread(id: string): Promise<Rows>
  find(id: string): Promise<Rows>
  /** One row a hold that is lost. */
  heartbeat(holds: readonly Hold[], leaseMs: number): Promise<Rows>
  /** How many were deleted, or made tombstones of. */
  reap(limit: number, graceMs: number, tombstoneMs: number): ReturnType<Store<unknown>['reap']>
  forget(seen: ForgetInput): Promise<Rows>
  /** The next records, one row each, with the scope of those that may be of this one. */
  erasable(input: EraseInput): Promise<Rows>
  /** The ids of those that were made tombstones of. */
  erase(ids: readonly string[], tombstoneMs: number): Promise<Rows>
  /** One row an entry: the whole record and its `tries`, which are null where there is nothing to do. */
  due(operation: string, limit: number, againMs: number): Promise<Rows>
  putOff(id: string, ms: number, tries: number): Promise<void>
}

/**
 * The store contract. It belongs to its caller, the core: a store keeps one record per id and changes it by
 * compare-and-set, on its own clock. `sql/sql-store.ts` is the implementation over SQL.
 *
 * What a store may throw: {@link StoreUnavailableError} (no answer, nothing is known), {@link AbortedError} (nothing
 * was committed, try again), {@link LeaseLostError}, {@link CommitUnknownError} (only from `commit`),
 * {@link StoreNotMigratedError}, {@link StoreFailedError}, {@link TransactionFailedInsideError}; and from `commit`
 * whatever `work` threw, as the same object.
 */
import type { FoundRecord, Stages, State, StoppedState, Task, WholeRecord } from './record.ts'
import type { Outcome } from './outcome.ts'

/** What a first claim writes. */
export interface ClaimInput {
  readonly id: string
  readonly scope: string
  readonly operation: string
  readonly key: string
  readonly fingerprint: string
  readonly owner: string
  readonly method: string | undefined
  readonly path: string | undefined
  readonly leaseMs: number
  readonly retentionMs: number
  /** Of a registered operation: stored with the record, and due in the backlog after so long. */
  readonly task: (Task & { readonly dueMs: number }) | undefined
}

/** `nothing`: it was neither inserted nor seen (another's insert was on its way, or a reaper's delete). Ask again. */
export type ClaimReply =
  | { readonly kind: 'inserted'; readonly execution: string }
  | { readonly kind: 'found'; readonly record: FoundRecord }
  | { readonly kind: 'nothing' }

/** Who writes: every write must match all of it, or the attempt was fenced. */
export interface Hold {
  readonly id: string
  readonly owner: string
  readonly attempt: number
}

/** What was seen of a record that is to be taken over or stopped: it must still be that. */
export interface Seen {
  readonly id: string
  readonly attempt: number
  readonly revision: number
}

/** A lapsed record becomes ours, `attempt + 1`. */
export interface TakeOverInput extends Seen {
  /** The new one. */
  readonly owner: string
  readonly leaseMs: number
}

/** An expired outcome makes place for a new execution, `attempt + 1`. */
export interface ResetInput extends TakeOverInput {
  /** As of a claim: a tombstone has lost them. */
  readonly scope: string
  readonly operation: string
  readonly key: string
  readonly fingerprint: string
  readonly method: string | undefined
  readonly path: string | undefined
  readonly retentionMs: number
  /** As of a claim. Undefined: whatever an earlier execution left is gone. */
  readonly task: ClaimInput['task']
}

/** A stopped record is put back to work: what was decided of it, released, so that whoever claims it goes on. */
export interface RestartInput extends Seen {
  readonly state: StoppedState
  readonly recoveryPoint: string
  readonly stages: Stages
}

/** A record that is to be deleted: it must still be that, and nobody may work on it. */
export interface ForgetInput extends Seen {
  readonly state: State
}

/** A look at the next records, by id, and what of them is to be erased. */
export interface EraseInput {
  readonly scope: string
  /** How long what is left of each still says that it was done. */
  readonly tombstoneMs: number
  /** The id behind which it looks; empty at first. */
  readonly after: string
  /** How many records it looks at, of whatever scope. */
  readonly limit: number
  /** Awaited before anything is erased, with the ids of what may be. Where it rejects, nothing is. */
  readonly found?: (ids: readonly string[]) => Promise<void>
}

/** What came of it. */
export interface Erased {
  readonly ids: readonly string[]
  /** Records of that scope that were passed by: a lease of theirs is live, or a commit holds them. */
  readonly left: number
  /** Where to go on; undefined: there are no more. */
  readonly after: string | undefined
}

/**
 * One change of a record that is held. `from` and `revision` are what we saw: the recovery point says where the record
 * is, the revision that nothing was written since, so that a change which was delayed on its way can never undo a later
 * one. A release gives back whatever is there.
 */
export type Write =
  | {
      readonly kind: 'advance'
      readonly from: string
      readonly revision: number
      readonly to: string
      readonly stages: Stages
      readonly leaseMs: number
    }
  | {
      readonly kind: 'journal'
      readonly from: string
      readonly revision: number
      readonly stages: Stages
      readonly leaseMs: number
    }
  | {
      readonly kind: 'finish'
      readonly from: string
      readonly revision: number
      readonly outcome: Outcome
      readonly retentionMs: number
    }
  | {
      readonly kind: 'unknown'
      readonly from: string
      readonly revision: number
      readonly stages: Stages
    }
  | { readonly kind: 'release' }

/** How a stage's transaction is opened. */
export interface CommitOptions<Isolation extends string> {
  readonly isolation: Isolation | undefined
  /** The lease of whoever commits: what the transaction may wait for is bounded by it. Absent: it has none. */
  readonly leaseMs?: number
  /** Awaited between the fencing statement and COMMIT, which are then sent apart. Absent in production. */
  readonly fenced?: () => Promise<void>
}

/** What `store.check()` found. */
export interface StoreProblem {
  /** Stable, snake_case. */
  readonly code: string
  /** What is wrong and what to do. */
  readonly message: string
}

/** A record whose turn it is. `tries`: how many attempts of completers were counted before. */
export interface DueRecord {
  readonly record: WholeRecord
  readonly tries: number
}

/**
 * What a completer looks through: an entry for each record with a task, by operation and the instant it is due. A hint,
 * never the truth: losing one costs time, an entry too many costs a look, and the record's own compare-and-set decides.
 */
export interface Backlog {
  /**
   * The first entries of an operation that are due, at most `limit`; each is due again after `againMs`, so that others
   * pass it by meanwhile, and if this process dies. Entries that others look at are skipped; those of records that are
   * finished or gone are removed. `seen` counts both: fewer than `limit`, and nothing more is due.
   */
  due(
    operation: string,
    limit: number,
    againMs: number,
  ): Promise<{ readonly seen: number; readonly records: readonly DueRecord[] }>
  /** The entry of an unfinished record with a task is due in `ms`, with so many tries; makes it, if it is not there. */
  putOff(id: string, ms: number, tries: number): Promise<void>
}

/**
 * Where records are kept.
 *
 * @typeParam Tx - the transaction handle a stage gets: the driver's or ORM's own
 * @typeParam Isolation - the isolation levels a stage may ask for
 */
export interface Store<Tx, Isolation extends string = string> {
  /** Brings the table to this version. Safe from many processes at once; never blocks writers for long. */
  migrate(): Promise<void>
  /** Says what is wrong with the table, the server or its settings. Empty: nothing. */
  check(): Promise<readonly StoreProblem[]>
  /** Step 1: inserts the record, or returns the one that stands there. In its own autocommit statement. */
  claim(input: ClaimInput): Promise<ClaimReply>
  /** Takes over a lapsed record. Undefined: it is not lapsed, not as it was seen, or locked by a commit. */
  takeOver(input: TakeOverInput): Promise<FoundRecord | undefined>
  /** Stops a lapsed record. False: it is not lapsed, or not as it was seen, any more. */
  stop(seen: Seen, to: StoppedState): Promise<boolean>
  /** Puts a stopped record back to work, held by nobody. False: it is not as it was seen any more. */
  restart(input: RestartInput): Promise<boolean>
  /** Starts a new execution in an expired record. Undefined: it is not expired or not at this attempt any more. */
  reset(input: ResetInput): Promise<FoundRecord | undefined>
  /** Steps 2 and 4: opens a transaction, runs `work` in it, and commits its rows together with `write`. */
  commit<R>(
    hold: Hold,
    options: CommitOptions<Isolation>,
    work: (tx: Tx) => Promise<{ readonly value: R; readonly write: Write }>,
  ): Promise<R>
  /** A transaction without a record: for requests that carry no key. */
  transaction<R>(options: CommitOptions<Isolation>, work: (tx: Tx) => Promise<R>): Promise<R>
  /** One change in autocommit. False: fenced. */
  write(hold: Hold, write: Write): Promise<boolean>
  /** Step 5: the record, read behind any commit that is still on its way. Undefined: no such record. */
  reread(id: string): Promise<FoundRecord | undefined>
  /** The record with what it is about, as committed now. Undefined: no such record. */
  find(id: string): Promise<WholeRecord | undefined>
  /** Step 7: renews leases in one statement, skipping rows that a commit holds; says which are lost. */
  heartbeat(holds: readonly Hold[], leaseMs: number): Promise<readonly Hold[]>
  /**
   * Deletes at most `limit` records whose outcome expired `graceMs` ago. Returns how many. Never an unfinished one.
   *
   * @param tombstoneMs - over 0: they become tombstones for so long instead, and only expired tombstones are deleted;
   *   both are counted
   */
  reap(limit: number, graceMs: number, tombstoneMs?: number): Promise<number>
  /** Deletes one record, in whatever state. False: it is not as it was seen, or a lease or a commit holds it. */
  forget(seen: ForgetInput): Promise<boolean>
  /**
   * Makes tombstones of the records of a scope among the next ones, in whatever state, but for those that a lease or a
   * commit holds. It goes through all records by their primary key: an index on the scope would be paid for by every
   * claim (ADR 0027). Absent: it forgets by itself, and cannot be looked through.
   */
  readonly erase?: ((input: EraseInput) => Promise<Erased>) | undefined
  /** Absent: it keeps no tasks, and a completer cannot work on it. */
  readonly backlog?: Backlog | undefined
}

/** Thrown by a store: the database aborted it and nothing was committed; trying the whole of it again is safe. */
export class AbortedError extends Error {
  override readonly name = 'AbortedError'
  /** What to do if it happens again and again, as the end of a sentence. */
  readonly remedy: string | undefined
  constructor(cause: unknown, remedy?: string) {
    super('aborted by the database, nothing was committed', { cause })
    this.remedy = remedy
  }
}

/** Thrown by a store: the connection broke during COMMIT; it may have landed or not. */
export class CommitUnknownError extends Error {
  override readonly name = 'CommitUnknownError'
  /** As of {@link AbortedError}, where it turns out not to have landed. */
  readonly remedy: string | undefined
  constructor(cause: unknown, remedy?: string) {
    super('the connection broke during COMMIT', { cause })
    this.remedy = remedy
  }
}

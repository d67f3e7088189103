/** What the store suite needs of a store: itself, and what only its author knows of its database. */
import type { Store } from '../core/store.ts'

/**
 * A store that is to be proved.
 *
 * @typeParam Tx - the transaction handle of its stages
 */
export interface StoreUnderTest<Tx = unknown, Isolation extends string = string> {
  /** Migrated. Records of others in it do not matter, unless they have expired. */
  readonly store: Store<Tx, Isolation>
  /** Rows of an application. Absent for a store without transactions: what needs stages is then left out. */
  readonly effects?: {
    /** Adds a row named `name` in the transaction of a stage. */
    add(tx: Tx, name: string): Promise<unknown>
    /** The names of all rows that are committed, seen from another connection. */
    committed(): Promise<readonly string[]>
  }
  /** What can go wrong inside a transaction. Absent: what needs it is left out. */
  readonly faults?: {
    /** Ends as the database ends a transaction that may be tried again: a deadlock, a serialization failure. */
    abort(tx: Tx, nth: number): Promise<unknown>
    /** A statement that the database refuses; rejects with its error. */
    refuse(tx: Tx): Promise<unknown>
    /** True where a transaction in which a statement was refused can only be rolled back. */
    readonly spoils: boolean
  }
  /** The highest isolation level of a stage, where there is one. */
  readonly isolation?: Isolation
  /** Lets time pass for the store. Absent: the suite waits. */
  advance?(ms: number): Promise<void> | void
  /** Lets the outcome of this record expire now. Absent: it is kept for a second, and the second passes. */
  expire?(id: string): Promise<unknown>
  /** The same store over connections that are closed. */
  closed?(): Promise<Store<Tx, Isolation>>
  /** The same store over connections that may only read. */
  readOnly?(): Promise<Store<Tx, Isolation>>
  /** Gives everything back. */
  close(): Promise<unknown>
}

/**
 * The port of three verbs that a driver or ORM implements: query, open a transaction, query inside one. Everything else
 * (the protocol, the statements, retries) is the same for all of them.
 */

/** One statement: text with the dialect's placeholders, and the values for them. */
export interface Statement {
  readonly text: string
  readonly values: readonly unknown[]
}

/**
 * Rows by column name. Values are as the driver gives them: strings, numbers, bytes as `Uint8Array` or `ArrayBuffer`,
 * null. Where the database has no RETURNING, a statement that changes rows gives one row: `{ changed }`, how many.
 */
export type Rows = readonly Readonly<Record<string, unknown>>[]

/** What a transaction's work hands back. */
export interface Closing<R> {
  readonly value: R
  /**
   * A statement to run immediately before COMMIT. It raises inside the database when the transaction must not be
   * committed, and a driver that can sends both at once; where the dialect cannot raise, it gives no row, or
   * `changed: 0`.
   */
  readonly last?: Statement
}

/** How a library takes the limits of a transaction. */
export interface Limiting {
  /** True: it sends them with BEGIN. False: the store sends a statement, the first of the transaction. */
  readonly withBegin: boolean
  /** False: an ended session may end the process, so a stage may be silent for any time unless the application says. */
  readonly endsIdle: boolean
}

/** Waiting for a lock, one statement, silence between two. */
export type LimitName = 'lock' | 'statement' | 'idle'

/** The limits of one transaction. */
export interface Limits {
  /** Which there are. */
  readonly of: readonly LimitName[]
  /** A statement each, which takes no snapshot: `set transaction` may follow. */
  readonly each: readonly string[]
  /** All in one, through any protocol. */
  readonly together: Statement
}

/** How a transaction is opened. */
export interface Opening<Isolation extends string> {
  readonly isolation: Isolation | undefined
  /** To be set before the work. Only where `limiting` says so. */
  readonly limits?: Limits | undefined
}

/** How one library meets Pawl. */
export interface Database<Tx, Isolation extends string> {
  /** Runs a statement on its own, on any connection. */
  query(statement: Statement): Promise<Rows>
  /**
   * Opens a transaction, runs `work`, commits. Rolls back when `work` throws and rethrows the very error.
   *
   * @throws {@link ConnectError} there was no connection: `work` did not run
   * @throws {@link ConnectionLostError} the connection broke before COMMIT was sent: nothing was committed
   * @throws {@link CommitLostError} it broke while COMMIT was on its way: nobody knows
   * @throws {@link FencedError} the last statement said so; or the error that it raised
   * @throws {@link RolledBackError} COMMIT was answered with ROLLBACK: a failed statement had been swallowed
   */
  transaction<R>(options: Opening<Isolation>, work: (tx: Tx) => Promise<Closing<R>>): Promise<R>
  /** Runs a statement inside an open transaction. */
  within(tx: Tx, statement: Statement): Promise<Rows>
  /** SQLite: true where the library begins DEFERRED. The record is then locked first, and with it the file. */
  readonly beginsDeferred?: boolean
  /** How a transaction's limits of time are set. Absent: it can have none. */
  readonly limiting?: Limiting | undefined
}

/** No connection could be had. */
export class ConnectError extends Error {
  override readonly name = 'ConnectError'
  constructor(cause: unknown) {
    super('no connection to the database', { cause })
  }
}

/** The connection broke inside a transaction, before COMMIT was sent. */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError'
  constructor(cause: unknown) {
    super('the connection broke before COMMIT', { cause })
  }
}

/** The connection broke while COMMIT was on its way. */
export class CommitLostError extends Error {
  override readonly name = 'CommitLostError'
  constructor(cause: unknown) {
    super('the connection broke during COMMIT', { cause })
  }
}

/** COMMIT was answered with ROLLBACK. */
export class RolledBackError extends Error {
  override readonly name = 'RolledBackError'
  constructor() {
    super('COMMIT was answered with ROLLBACK')
  }
}

/** The last statement said that the transaction must not be committed: it was rolled back. */
export class FencedError extends Error {
  override readonly name = 'FencedError'
  constructor(cause: unknown) {
    super('the record is not as it was seen', { cause })
  }
}

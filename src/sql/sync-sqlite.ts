/**
 * SQLite through a library whose calls return at once (better-sqlite3, libsql, node:sqlite): one connection, which all
 * requests of the process take in turn, since what is sent between BEGIN and COMMIT is in that transaction, whoever
 * sends it. Another process that has the file is waited for without stopping this one's event loop.
 */
import { sleep } from '../core/ask.ts'
import { systemRuntime } from '../core/runtime.ts'
import {
  type Closing,
  CommitLostError,
  ConnectError,
  ConnectionLostError,
  type Database,
  RolledBackError,
  type Rows,
  type Statement,
} from './database.ts'
import { mustHold } from './fence.ts'
import { type Entrances, lend, refuseAtOnce } from './lent-client.ts'
import { questionMarks } from './placeholders.ts'
import { Queue } from './queue.ts'
import { sqlite } from './sqlite.ts'
import { hasAnswered } from './sqlite-errors.ts'

/** How long another process's transaction is waited for, in milliseconds. */
const BUSY_MAX_MS = 5_000
const PAUSE_MAX_MS = 25

/** A prepared statement. */
export interface SyncStatementLike {
  all(...values: never[]): unknown[]
  run(...values: never[]): unknown
}

/** What Pawl calls on a connection. */
export interface SyncSqliteLike {
  exec(text: string): unknown
  prepare(text: string): SyncStatementLike
  /** better-sqlite3 and libsql. */
  readonly inTransaction?: boolean
  /** node:sqlite. */
  readonly isTransaction?: boolean
}

const ENTRANCES: Entrances = {
  methods: ['prepare', 'exec', 'transaction', 'pragma', 'query', 'createTagStore'],
  refuse: refuseAtOnce,
}

/** The three verbs over one connection. */
export function syncSqlite<Db extends SyncSqliteLike>(db: Db): Database<Db, never> {
  const connection = new Connection(db)
  const queue = new Queue()
  const transaction = <R>(work: (db: Db) => Promise<Closing<R>>): Promise<R> =>
    queue.next(() => connection.transaction((within) => lend(within, work, ENTRANCES)))
  const query = (statement: Statement): Promise<Rows> => {
    if (READS.test(statement.text))
      return queue.next(() => Promise.resolve(connection.run(statement)))
    // A lone statement would stop the event loop while it waits for another process.
    return transaction(() => Promise.resolve({ value: connection.run(statement) }))
  }
  return {
    query,
    within: (_, statement) => Promise.resolve().then(() => connection.run(statement)),
    transaction: (_, work) => transaction(work),
  }
}

const READS = /^\s*(?:select|pragma)\b/i
const RETURNS = /^\s*(?:select|pragma)\b|\breturning\b/i

class Connection<Db extends SyncSqliteLike> {
  readonly #db: Db
  readonly #statements = new Map<string, SyncStatementLike>()
  #isSetUp = false

  constructor(db: Db) {
    this.#db = db
  }

  run(statement: Statement): Rows {
    const { text, values } = questionMarks(statement)
    let prepared = this.#statements.get(text)
    if (prepared === undefined) {
      prepared = this.#db.prepare(text)
      this.#statements.set(text, prepared)
    }
    const bound = values as never[]
    if (RETURNS.test(text)) return prepared.all(...bound) as Rows
    prepared.run(...bound)
    return []
  }

  async transaction<R>(work: (db: Db) => Promise<Closing<R>>): Promise<R> {
    await this.#begin()
    let closing: Closing<R>
    try {
      closing = await work(this.#db)
      // Some errors end the transaction by themselves; whoever swallows them goes on without one.
      if (!this.#isOpen()) throw new RolledBackError()
      if (closing.last !== undefined)
        await mustHold(closing.last, (last) => Promise.resolve(this.run(last)), sqlite)
    } catch (error) {
      this.#rollBack(error)
      throw error
    }
    try {
      this.#db.exec('commit')
    } catch (error) {
      this.#rollBack(error)
      throw hasAnswered(error) ? error : new CommitLostError(error)
    }
    return closing.value
  }

  /** Waits for other processes by asking again: the connection's own way of waiting stops the event loop. */
  async #begin(): Promise<void> {
    const deadline = systemRuntime.now() + BUSY_MAX_MS
    for (let pause = 1; ; pause = Math.min(PAUSE_MAX_MS, pause * 2)) {
      try {
        this.#beginNow()
        return
      } catch (error) {
        const isBusy = sqlite.failureOf(error) === 'aborted'
        if (!isBusy) throw new ConnectError(error)
        if (systemRuntime.now() > deadline) throw error
      }
      await sleep(systemRuntime, pause)
    }
  }

  #beginNow(): void {
    const [row] = this.run({ text: 'pragma busy_timeout', values: [] })
    const timeout = Number(row?.['timeout'] ?? 0)
    this.#db.exec('pragma busy_timeout = 0')
    try {
      if (!this.#isSetUp) {
        this.#db.exec('pragma journal_mode = wal')
        this.#db.exec('pragma synchronous = full')
        this.#isSetUp = true
      }
      this.#db.exec('begin immediate')
    } finally {
      this.#db.exec(`pragma busy_timeout = ${String(timeout)}`)
    }
  }

  #isOpen(): boolean {
    const { inTransaction, isTransaction } = this.#db
    const known = inTransaction ?? isTransaction
    if (known !== undefined) return known
    try {
      this.#db.exec('begin')
    } catch {
      return true // There is no transaction within a transaction.
    }
    this.#db.exec('rollback')
    return false
  }

  #rollBack(because: unknown): void {
    if (because instanceof RolledBackError) return
    try {
      this.#db.exec('rollback')
    } catch (error) {
      if (!hasAnswered(error)) throw new ConnectionLostError(because)
    }
  }
}

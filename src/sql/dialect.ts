/**
 * What a family of databases must give: the text of every statement, and the meaning of its errors. Dialect files have
 * the same statements in the same order, so that they can be read side by side.
 */
import type { StoreProblem } from '../core/store.ts'
import type { Guard } from './guard.ts'
import type { Runner, Steps } from './steps.ts'

/** What an error of the database says about the statement it answered. */
export type Failure =
  /** Nothing was committed, and trying again may succeed: deadlock, serialization failure, lock timeout. */
  | 'aborted'
  /** The fencing statement matched no row. */
  | 'fenced'
  /** No answer, or the server is going away: nothing is known of the statement. */
  | 'unavailable'
  /** An earlier statement of the transaction failed and its error was swallowed. */
  | 'failed_inside'
  /** The table, or a column of it, is not there. */
  | 'not_migrated'
  /** Anything else. */
  | 'refused'

/** The statements of a stage's transaction. `{table}` was replaced by the quoted name. */
export interface StageTexts {
  readonly fenceAdvance: string
  readonly fenceFinish: string
  readonly lockFirst: string
}

/** One forward step of the table. Never edited after a release. */
export interface Migration {
  readonly version: number
  /** What it does, which lock it takes, whether older code keeps working, how long on ten million rows. */
  readonly note: string
  readonly statements: readonly (string | AddColumn)[]
}

/** A statement that can be made once, where each step goes alone and must be repeatable. */
export interface AddColumn {
  /** The column by which it is known to be made. */
  readonly adds: string
  readonly text: string
}

/** The statements that keep the table's version. */
export interface MigrationTexts {
  /** In one transaction, locked until it ends. Absent: each step can be repeated, and goes alone. */
  readonly together?: {
    /** Taken first: one process migrates, the others wait. */
    readonly lock: string
    /** So that waiting for a table lock never queues writers behind us for long. */
    readonly limitLockWait: string
  }
  readonly createVersions: string
  readonly versions: string
  readonly addVersion: string
  readonly tableExists: string
}

/** A family of databases. */
export interface Dialect {
  readonly name: 'postgres' | 'sqlite' | 'mysql'
  stage(table: string): StageTexts
  steps(table: string, runner: Runner): Steps
  migrations(table: string): readonly Migration[]
  migrationStatements(table: string): MigrationTexts
  /** What is wrong with server and settings. */
  check(query: Runner['query']): Promise<readonly StoreProblem[]>
  /** The quoted name. @throws ConfigError not a name this library is willing to put into SQL */
  quote(table: string): string
  failureOf(error: unknown): Failure
  /** True when the server itself said that the statement failed, and the session goes on: nothing is in doubt. */
  hasAnswered(error: unknown): boolean
  /** Absent: a failed transaction refuses every further statement. */
  readonly guard?: Guard
  /** True for levels whose snapshot a later change of the record would invalidate: those lock the record first. */
  isSnapshot(isolation: string): boolean
}

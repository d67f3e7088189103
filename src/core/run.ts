/**
 * The run: what a handler sees of the protocol. Types only; `active-run.ts` keeps its state, and one file each
 * implements stage, call and finish.
 */
import type { JsonOnly } from './json.ts'
import type { Draft } from './outcome.ts'
import type { Duration } from './duration.ts'

declare const finished: unique symbol

/** Proof that a run has been finished; a handler returns it. */
export interface Finished {
  readonly [finished]: true
}

/** What a handler may return: the proof of `run.finish`, a response to store, or nothing (204). */
export type HandlerResult = Finished | Draft | void

/** How a stage's transaction is opened. */
export interface StageOptions<Isolation extends string> {
  /**
   * The isolation level of this stage; READ COMMITTED by default, at which the protocol is correct. At a higher level
   * the record is locked first, so that a heartbeat never makes the stage fail to serialize.
   */
  readonly isolation?: Isolation
}

/** What an external call gets. */
export interface CallContext {
  /** The downstream key: give it to the called system. The same in every attempt of this request; 37 characters. */
  readonly idempotencyKey: string
  /** Aborts at the call's `timeout`, or when the lease is lost. */
  readonly signal: AbortSignal
}

/** What an error of a call says about the called system. */
export type CallFailure =
  /** It never left: nothing happened there. */
  | 'not_sent'
  /** It answered, and refused: nothing happened there. */
  | 'refused'
  /** Nobody knows. */
  | 'unknown'

/** How an external call is made. */
export interface CallOptions {
  /**
   * True (default): after a crash it is made again with the same downstream key; for systems that honour such a key.
   * False: its intent is committed before it is sent and it is never sent twice; it may end `unknown`.
   */
  readonly repeatable?: boolean
  /** How long to wait for it; no limit by default. */
  readonly timeout?: Duration
  /**
   * For a call that is not repeatable: what an error it threw says. By default a refused or impossible connection
   * (ECONNREFUSED, ENOTFOUND, EAI_AGAIN) is `not_sent` and everything else `unknown`.
   */
  readonly classify?: (error: unknown) => CallFailure
}

/**
 * One attempt at one logical request.
 *
 * Stages and calls run one after another, never inside one another. Code between them must not have effects: it runs
 * again when a later attempt resumes.
 *
 * @typeParam Tx - the transaction handle a stage gets: the driver's or ORM's own
 */
export interface Run<Tx, Isolation extends string = string> {
  /** The record's id, `ikey_…`: safe to log; the `operation_ref` that clients are told. */
  readonly id: string
  /** What the client sent. Undefined when the request carried no key and none was required. */
  readonly key: string | undefined
  /** Who may share the key, as one text. */
  readonly scope: string
  readonly operation: string
  /** Of the registered operation that began the record; undefined for others. */
  readonly version: string | undefined
  /** 1 for the first attempt, one more at each takeover. */
  readonly attempt: number
  /** An earlier attempt committed stages or calls of this request: they are not run again. */
  readonly resumed: boolean
  /** The name of the last committed stage or call; `started` before the first. */
  readonly recoveryPoint: string
  /** False when the request carried no key: stages are transactions, and nothing is remembered. */
  readonly protected: boolean
  /** Aborts when another attempt has taken over, or the process gave the request up. */
  readonly signal: AbortSignal
  /**
   * A work stage: one transaction that commits the application's rows, the result and the recovery point together.
   * When an earlier attempt committed it, `work` is not called and its result is returned from the store.
   *
   * `work` may be called several times before it commits (deadlocks and serialization failures are retried), so it
   * should have no effects but those on `tx`.
   *
   * @param name - stable over deploys; letters, digits, `.`, `_`, `-`; unique within the operation. A stage that
   * failed may be tried again under its name; a call too, unless it was sent and may not be repeated
   * @returns the result as JSON carries it: the first attempt sees what a later one would
   * @throws {@link LeaseLostError} another attempt has taken over; the rows of this one were rolled back
   * @throws {@link StageAbortedError} the database aborted it five times; nothing was committed
   */
  stage<T>(
    name: string,
    work: (tx: Tx) => Promise<T & JsonOnly<T>> | (T & JsonOnly<T>),
    options?: StageOptions<Isolation>,
  ): Promise<T>
  /**
   * An effect outside the database, made while no transaction is open and no connection is held.
   *
   * @throws {@link OutcomeUnknownError} not repeatable, sent, and its answer not learned: the record stops
   * @throws {@link CallTimeoutError} repeatable, and no answer within `timeout`
   * @throws whatever `work` threw, when it is known that nothing happened or the call may be repeated
   */
  call<T>(
    name: string,
    work: (context: CallContext) => Promise<T & JsonOnly<T>> | (T & JsonOnly<T>),
    options?: CallOptions,
  ): Promise<T>
  /**
   * The last stage: the application's rows and the response in one commit. Afterwards every retry is a replay, also of
   * an error status that `work` returned.
   */
  finish(
    work: (tx: Tx) => Promise<Draft> | Draft,
    options?: StageOptions<Isolation>,
  ): Promise<Finished>
}

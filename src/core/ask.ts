/**
 * How the store is asked: bounded in time and in number, with jitter between tries. Asking again is safe because every
 * claim recognises its own nonce and every change is a compare-and-set.
 */
import { StoreUnavailableError } from './errors.ts'
import type { Runtime } from './runtime.ts'
import { AbortedError } from './store.ts'

/** How often a statement that the database aborted, or did not answer, is asked again. */
export const TRIES_MAX = 5
const BACKOFF_FIRST_MS = 10
const BACKOFF_MAX_MS = 500

/** What asking needs. */
export interface Asking {
  readonly runtime: Runtime
  /** How long one question to the store may take, retries included. */
  readonly storeTimeoutMs: number
}

/**
 * Asks the store something that is safe to ask again: every claim recognises its own nonce, every change is a
 * compare-and-set.
 *
 * @param late - told of what is answered after all, when nobody waits for it any more
 * @throws {@link StoreUnavailableError} no answer within `storeTimeoutMs`, or five failures
 */
export function ask<R>(
  engine: Asking,
  doing: string,
  question: () => Promise<R>,
  late?: (reply: R) => Promise<void>,
): Promise<R> {
  const deadline = engine.runtime.now() + engine.storeTimeoutMs
  let unanswered: Promise<R>[] | undefined
  const attempt = (tries: number): Promise<R> => {
    const answer = begun(question)
    return within(engine, doing, patience(engine, deadline), answer, async (error) => {
      if (late !== undefined) (unanswered ??= []).push(answer)
      if (mayAskAgain(error) && tries < TRIES_MAX && engine.runtime.now() < deadline) {
        await backoff(engine.runtime, tries)
        return await attempt(tries + 1)
      }
      for (const one of unanswered ?? []) one.then(late).catch(() => undefined)
      throw mayAskAgain(error) ? unavailable(doing, error) : error
    })
  }
  return attempt(1)
}

/** A store of somebody else may throw instead of rejecting, or answer without a promise. */
function begun<R>(question: () => Promise<R>): Promise<R> {
  try {
    return Promise.resolve(question())
  } catch (error) {
    return Promise.reject(error)
  }
}

/**
 * How long one try may take: half of the whole at most, so that a question behind a connection that has died is asked
 * again, on another one.
 */
export function patience(engine: Asking, deadline: number): number {
  return Math.min(engine.storeTimeoutMs / 2, deadline - engine.runtime.now())
}

/** True for what says that nothing was decided: no answer, or an abort. */
export function mayAskAgain(error: unknown): error is AbortedError | StoreUnavailableError {
  return error instanceof AbortedError || error instanceof StoreUnavailableError
}

/** The error a caller meets when asking again did not help. */
export function unavailable(
  doing: string,
  error: AbortedError | StoreUnavailableError,
): StoreUnavailableError {
  return error instanceof StoreUnavailableError
    ? error
    : new StoreUnavailableError(doing, error.cause)
}

/**
 * The answer, or {@link StoreUnavailableError} after `ms`. A database that neither answers nor refuses would otherwise
 * hold the client for as long as TCP does.
 *
 * @param failed - what is answered instead of an error. It is thrown, by default
 */
export function within<R>(
  engine: Pick<Asking, 'runtime'>,
  doing: string,
  ms: number,
  answer: Promise<R>,
  failed?: (error: unknown) => Promise<R>,
): Promise<R> {
  return new Promise((resolve, reject) => {
    let isOver = false
    const fail = (error: unknown): void => {
      if (isOver) return
      isOver = true
      if (failed === undefined) reject(error)
      else resolve(failed(error))
    }
    const cancel = engine.runtime.timer(Math.max(0, ms), () => {
      fail(new StoreUnavailableError(doing))
    })
    answer.then(
      (value) => {
        isOver = true
        cancel()
        resolve(value)
      },
      (error: unknown) => {
        cancel()
        fail(error)
      },
    )
  })
}

/** Resolves after `ms` milliseconds. */
export function sleep(runtime: Runtime, ms: number): Promise<void> {
  return new Promise((resolve) => {
    runtime.timer(ms, resolve)
  })
}

/** Waits before try `tries + 1`: doubling, with full jitter, so that those who collided do not collide again. */
export async function backoff(runtime: Runtime, tries: number): Promise<void> {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** tries)
  await sleep(runtime, ceiling / 2 + (runtime.random() * ceiling) / 2)
}

/**
 * BEGIN that waits for the first query of its transaction, and travels with it. A transaction without a query is begun
 * and ended in one message, or not at all.
 */
import { StoreFailedError } from '../core/errors.ts'
import { ConnectionLostError } from './database.ts'
import { type IdleClient, mayGoInFront, sendInFront } from './in-front.ts'
import type { NamedStatement } from './message.ts'
import { hasAnswered } from './postgres-errors.ts'

/** How it is sent. */
export interface DeferredBeginOptions {
  readonly client: IdleClient
  /** BEGIN, and the limits of the transaction. Those with a name are prepared on the client. */
  readonly statements: readonly NamedStatement[]
  /** Sends them by themselves, before all that is asked behind them, and tells of an error at once. */
  readonly sendApart: (refused: (error: unknown) => void) => Promise<unknown>
  /** Asks the client for nothing, as the application asks: answered behind all that was sent before. */
  readonly ask: () => Promise<unknown>
  /** Learns from an error. */
  readonly failed: (error: unknown) => void
  /** The client sends queries while others are unanswered. */
  readonly pipelined: boolean
}

/** BEGIN of one transaction. */
export class DeferredBegin {
  readonly #options: DeferredBeginOptions
  #state: 'waiting' | 'sent' | 'answered' = 'waiting'
  #error: unknown
  /** Pipelined: what was on its way behind BEGIN, with a Sync in between. */
  #exposed = 0

  constructor(options: DeferredBeginOptions) {
    this.#options = options
  }

  /** Nothing was sent. */
  get isWaiting(): boolean {
    return this.#state === 'waiting'
  }

  /** What of it is to be sent, for whoever ends the transaction now: nothing of it is sent later. */
  taken(): readonly NamedStatement[] {
    const waiting = this.isWaiting ? this.#options.statements : []
    this.#state = 'answered'
    return waiting
  }

  /** Why the transaction was not begun. */
  get refusal(): Error | undefined {
    const error = this.#error
    if (error === undefined) return undefined
    if (this.#exposed === 0 || !hasAnswered(error)) return new ConnectionLostError(error)
    return new StoreFailedError(
      'beginning a transaction; rows of this stage may have been kept',
      error,
    )
  }

  /** When it is known whether there is a transaction. Undefined: it is. */
  settled(): Promise<void> | undefined {
    if (this.#state !== 'sent') return undefined
    // A query that the client has refused had no Sync, and the server keeps its answers back.
    return this.#options.ask().then(
      () => undefined,
      (error: unknown) => {
        // Answered: it is a failed transaction.
        if (!hasAnswered(error)) this.#giveUp(error)
      },
    )
  }

  /** A query of the transaction. What reads the connection by itself would take BEGIN's answers for its own. */
  query<R>(ask: () => R, readsItself: boolean): R {
    if (this.isWaiting) {
      const { client, statements } = this.#options
      if (!readsItself && mayGoInFront(client, statements)) {
        this.#state = 'sent'
        return sendInFront(client, statements, ask, {
          refused: this.#refused,
          answered: this.#answered,
          ended: () => this.#giveUp(new Error('the connection ended before BEGIN was answered')),
        })
      }
    }
    this.send()
    return ask()
  }

  /** Sends it, if it waits: what is asked now goes behind it. */
  send(): void {
    const { pipelined, sendApart } = this.#options
    if (pipelined && this.#state !== 'answered') this.#exposed++
    if (!this.isWaiting) return
    this.#state = 'sent'
    sendApart(this.#refused).then(this.#answered, this.#refused)
  }

  readonly #answered = (): void => {
    this.#state = 'answered'
  }

  readonly #refused = (error: unknown): void => {
    this.#options.failed(error)
    this.#giveUp(error)
  }

  /** Nobody may go on with the client: what is asked now would be no transaction. */
  #giveUp(error: unknown): void {
    this.#error ??= error
    this.#state = 'answered'
    this.#options.client.connection.stream.destroy()
  }
}

/**
 * BEGIN that waits for the first query of its transaction, and travels with it. A transaction without a query is begun
 * and ended in one message, or not at all.
 */
import { StoreFailedError } from '../core/errors.ts'
import { ConnectionLostError } from './database.ts'
import { type Answered, type IdleClient, mayGoInFront, sendInFront } from './in-front.ts'
import type { NamedStatement } from './message.ts'
import { hasAnswered } from './postgres-errors.ts'

/** How it is sent. */
export interface BeginSender {
  /** Sends it by itself, before all that is asked behind it, and tells of an error at once. */
  sendApart(refused: (error: unknown) => void): Promise<unknown>
  /** Asks the client for nothing, as the application asks: answered behind all that was sent before. */
  ask(): Promise<unknown>
  /** Learns from an error. */
  failed(error: unknown): void
  /** The client sends queries while others are unanswered. */
  readonly pipelined: boolean
}

/** BEGIN of one transaction. */
export class DeferredBegin implements Answered {
  readonly #client: IdleClient
  readonly #statements: readonly NamedStatement[]
  readonly #sender: BeginSender
  #state: 'waiting' | 'sent' | 'answered' = 'waiting'
  #error: unknown
  /** Pipelined: what was on its way behind BEGIN, with a Sync in between. */
  #exposed = 0

  /** @param statements - BEGIN, and the limits of the transaction. Those with a name are prepared on the client */
  constructor(client: IdleClient, statements: readonly NamedStatement[], sender: BeginSender) {
    this.#client = client
    this.#statements = statements
    this.#sender = sender
  }

  /** Nothing was sent. */
  get isWaiting(): boolean {
    return this.#state === 'waiting'
  }

  /** What of it is to be sent, for whoever ends the transaction now: nothing of it is sent later. */
  taken(): readonly NamedStatement[] {
    const waiting = this.isWaiting ? this.#statements : []
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
    return this.#sender.ask().then(
      () => undefined,
      (error: unknown) => {
        // Answered: it is a failed transaction.
        if (!hasAnswered(error)) this.#giveUp(error)
      },
    )
  }

  /**
   * A query of the transaction.
   *
   * @param apart - BEGIN goes by itself: what reads the connection would take its answers for its own
   */
  query<R>(ask: () => R, apart: () => boolean): R {
    if (this.isWaiting && !apart() && mayGoInFront(this.#client, this.#statements)) {
      this.#state = 'sent'
      return sendInFront(this.#client, this.#statements, ask, this)
    }
    this.send()
    return ask()
  }

  /** Sends it, if it waits: what is asked now goes behind it. */
  send(): void {
    if (this.#sender.pipelined && this.#state !== 'answered') this.#exposed++
    if (!this.isWaiting) return
    this.#state = 'sent'
    const refused = (error: unknown): void => this.refused(error)
    this.#sender.sendApart(refused).then(() => this.answered(), refused)
  }

  answered(): void {
    this.#state = 'answered'
  }

  refused(error: unknown): void {
    this.#sender.failed(error)
    this.#giveUp(error)
  }

  ended(): void {
    this.#giveUp(new Error('the connection ended before BEGIN was answered'))
  }

  /** Nobody may go on with the client: what is asked now would be no transaction. */
  #giveUp(error: unknown): void {
    this.#error ??= error
    this.#state = 'answered'
    this.#client.connection.stream.destroy()
  }
}

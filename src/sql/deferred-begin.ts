/**
 * BEGIN that waits for the first query of its transaction, and travels with it. A transaction without a query is begun
 * and ended in one message, or not at all.
 */
import { StoreFailedError } from '../core/errors.ts'
import { ConnectError } from './database.ts'
import { type IdleClient, mayGoInFront, sendInFront } from './in-front.ts'
import type { NamedStatement } from './message.ts'

/** How it is sent. */
export interface DeferredBeginOptions {
  readonly client: IdleClient
  /** BEGIN, and the limits of the transaction; prepared on the client. */
  readonly statements: readonly NamedStatement[]
  /** Sends them by themselves, before all that is asked behind them, and tells of an error at once. */
  readonly sendApart: (refused: (error: unknown) => void) => Promise<unknown>
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
  #wake = (): void => undefined

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
    if (this.#exposed === 0) return new ConnectError(error)
    return new StoreFailedError(
      'beginning a transaction; rows of this stage may have been kept',
      error,
    )
  }

  /** When it is known whether there is a transaction. Undefined: it is. */
  settled(): Promise<void> | undefined {
    if (this.#state !== 'sent') return undefined
    const { connection } = this.#options.client
    if (!connection.stream.writable) {
      this.#ended()
      return undefined
    }
    // A query that the client has refused had no Sync, and the server keeps its answers back.
    connection.flush()
    return new Promise((resolve) => (this.#wake = resolve))
  }

  /** A query of the transaction. */
  query<R>(ask: () => R): R {
    if (this.isWaiting) {
      const { client, statements } = this.#options
      if (mayGoInFront(client, statements)) {
        this.#state = 'sent'
        return sendInFront(client, statements, ask, {
          refused: this.#refused,
          answered: this.#answered,
          ended: () => this.#ended(),
        })
      }
      this.send()
    }
    if (this.#state === 'sent' && this.#options.pipelined) this.#exposed++
    return ask()
  }

  /** Sends it, if it waits: what is asked now goes behind it. */
  send(): void {
    if (!this.isWaiting) return
    this.#state = 'sent'
    // What is asked past `query` is not seen.
    if (this.#options.pipelined) this.#exposed++
    this.#options.sendApart(this.#refused).then(this.#answered, (error: unknown) => {
      this.#refused(error)
      this.#answered()
    })
  }

  readonly #answered = (): void => {
    this.#state = 'answered'
    this.#wake()
  }

  #ended(): void {
    this.#error ??= new Error('the connection ended before BEGIN was answered')
    this.#answered()
  }

  /** Nobody may go on with the client: what is asked now would be no transaction. */
  readonly #refused = (error: unknown): void => {
    if (this.#error !== undefined) return
    this.#error = error
    this.#options.failed(error)
    this.#options.client.connection.stream.destroy()
  }
}

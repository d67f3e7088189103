/** The requests of this process that have not ended, and whether it takes more: what `close()` waits for. */

/** `open` takes requests; `closing` waits for those it has; `closed` has given up the rest. */
export type InflightState = 'open' | 'closing' | 'closed'

/** The requests in flight. */
export class Inflight {
  #open = 0
  #idle: (() => void)[] = []
  #state: InflightState = 'open'

  get state(): InflightState {
    return this.#state
  }

  enter(state: 'closing' | 'closed'): void {
    this.#state = state
  }

  add<R>(work: Promise<R>): Promise<R> {
    this.#open++
    work.then(this.#ended, this.#ended)
    return work
  }

  readonly #ended = (): void => {
    this.#open--
    if (this.#open === 0) for (const idle of this.#idle.splice(0)) idle()
  }

  async settled(): Promise<void> {
    while (this.#open > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }
}

/** One after another, in the order they came: for a connection on which nobody may stand between BEGIN and COMMIT. */
export class Queue {
  #last: Promise<unknown> = Promise.resolve()

  /** Runs `work` when all that came before it have settled. */
  next<R>(work: () => Promise<R>): Promise<R> {
    const turn = this.#last.then(work)
    this.#last = turn.catch(() => undefined)
    return turn
  }
}

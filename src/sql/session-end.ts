/** The end of the session below a transaction, as it becomes known: then its connection may be somebody else's. */
export class SessionEnd {
  #hasCome = false
  readonly #told: (() => void)[] = []

  get hasCome(): boolean {
    return this.#hasCome
  }

  come(): void {
    this.#hasCome = true
    for (const tell of this.#told.splice(0)) tell()
  }

  /** @param tell - called once, when it comes */
  whenItComes(tell: () => void): void {
    this.#told.push(tell)
  }
}

/** What a library waits for that must not go on: each its own, or what waits would be kept for good. */
export function never(): Promise<never> {
  return new Promise(() => undefined)
}

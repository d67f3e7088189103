/**
 * Many callers, one statement: while one is in flight the next ones gather. No timer, so an idle server adds no
 * latency; under load a round trip and a commit are shared by all who came meanwhile (ADR 0009).
 */
import { StoreUnavailableError } from '../core/errors.ts'

/** So old a statement counts as stuck, and the next ones go past it on another connection. */
const STUCK_MS = 1_000

interface Waiting<In, Out> {
  readonly item: In
  readonly resolve: (out: Out) => void
  readonly reject: (error: unknown) => void
}

/** How a batch works. */
export interface BatchOptions<In, Out> {
  /** What it does, for error messages: "claiming". */
  readonly doing: string
  /** One statement for all items; answers in the order of the items. */
  readonly run: (items: readonly In[]) => Promise<readonly Out[]>
  /** True when the whole statement must fail together: asking item by item would not help. */
  readonly failsTogether: (error: unknown) => boolean
  /** Items in one statement. */
  readonly sizeMax: number
  /** Characters of one item in its statement, as near as matters. */
  readonly weigh: (item: In) => number
  /** Characters of one statement; an item that is heavier goes alone. */
  readonly weightMax: number
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Items that wait; one more is refused, so that a dead database does not fill the memory. */
  readonly waitingMax: number
}

/** Gathers items for one kind of statement. */
export class Batch<In, Out> {
  readonly #options: BatchOptions<In, Out>
  #waiting: Waiting<In, Out>[] = []
  #sentAt: number | undefined
  #turn = 0

  constructor(options: BatchOptions<In, Out>) {
    this.#options = options
  }

  /** The answer to one item. @throws what its statement threw; {@link StoreUnavailableError} too many are waiting */
  add(item: In): Promise<Out> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length >= this.#options.waitingMax) {
        reject(
          new StoreUnavailableError(`${this.#options.doing} (${this.#waiting.length} waiting)`),
        )
        return
      }
      this.#waiting.push({ item, resolve, reject })
      if (!this.#busy()) void this.#drain()
    })
  }

  /** A statement is in flight, and may still be answered: behind a dead connection nobody waits for ever. */
  #busy(): boolean {
    return this.#sentAt !== undefined && this.#options.now() - this.#sentAt < STUCK_MS
  }

  async #drain(): Promise<void> {
    const turn = ++this.#turn
    while (this.#waiting.length > 0 && turn === this.#turn) {
      this.#sentAt = this.#options.now()
      await this.#send(this.#waiting.splice(0, this.#fitting()))
    }
    if (turn === this.#turn) this.#sentAt = undefined
  }

  /** How many of those that wait fit into one statement: one at least. */
  #fitting(): number {
    const { sizeMax, weigh, weightMax } = this.#options
    let weight = 0
    let count = 0
    for (const { item } of this.#waiting) {
      weight += weigh(item)
      if (count === sizeMax || (count > 0 && weight > weightMax)) break
      count++
    }
    return count
  }

  async #send(batch: readonly Waiting<In, Out>[]): Promise<void> {
    try {
      const answers = await this.#options.run(batch.map(({ item }) => item))
      batch.forEach(({ resolve }, at) => resolve(answers[at] as Out))
    } catch (error) {
      if (batch.length === 1 || this.#options.failsTogether(error)) {
        for (const { reject } of batch) reject(error)
        return
      }
      // One poisoned item must not fail its neighbours: every statement here is safe to repeat.
      for (const alone of batch) await this.#send([alone])
    }
  }
}

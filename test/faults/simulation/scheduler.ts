/**
 * Virtual time: one event after another, in the order of their instants, however long that takes. Between two of them
 * all promises settle, so what happens is decided by the events alone.
 */

/** Whose event it is: one that is dead never has it, one that is paused has it later. */
export interface Host {
  readonly isAlive: boolean
  readonly pausedUntil: number
}

interface Event {
  at: number
  readonly order: number
  readonly host: Host | undefined
  call: (() => void) | undefined
}

/** What happens when. */
export class Scheduler {
  now = 0
  /** Events that happened. */
  count = 0
  #order = 0
  readonly #heap: Event[] = []

  /** Calls back in `ms`, unless the function it returns is called before, or the host dies. */
  after(ms: number, host: Host | undefined, call: () => void): () => void {
    const at = this.now + Math.max(0, ms)
    const event: Event = { at, order: this.#order++, host, call }
    this.#push(event)
    return () => {
      event.call = undefined
    }
  }

  /** Resolves in `ms`, if the host lives to see it. */
  wait(ms: number, host: Host | undefined): Promise<void> {
    return new Promise((resolve) => void this.after(ms, host, resolve))
  }

  /** Until `isOver`, or nothing happens any more, or it is `until`. */
  async run(until: number, isOver: () => boolean): Promise<void> {
    await settled()
    while (!isOver()) {
      const event = this.#pop()
      if (event === undefined) return
      if (event.at > until) {
        this.#push(event)
        this.now = until
        return
      }
      const { host, call } = event
      if (call === undefined || host?.isAlive === false) continue
      this.now = event.at
      if (host !== undefined && host.pausedUntil > this.now) {
        event.at = host.pausedUntil
        this.#push(event)
        continue
      }
      this.count++
      call()
      await settled()
    }
  }

  #push(event: Event): void {
    const heap = this.#heap
    let at = heap.push(event) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(event, heap[parent] as Event)) break
      heap[at] = heap[parent] as Event
      at = parent
    }
    heap[at] = event
  }

  #pop(): Event | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event))
        child++
      if (!isBefore(heap[child] as Event, last)) break
      heap[at] = heap[child] as Event
      at = child
    }
    heap[at] = last
    return first
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}

/** All promises that can settle have: a tick comes when no microtask is left. Ten times as fast as a turn of the loop. */
function settled(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve))
}

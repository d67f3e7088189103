/** The backlog in memory: what is due, by operation and instant. */
import type { WholeRecord } from '../core/record.ts'
import type { Backlog, DueRecord } from '../core/store.ts'

interface Entry {
  readonly id: string
  readonly operation: string
  readonly dueAt: number
  readonly tries: number
}

/** Of one store. */
export class MemoryBacklog implements Backlog {
  readonly #entries = new Map<string, Entry>()
  readonly #find: (id: string) => Promise<WholeRecord | undefined>
  readonly #now: () => number

  constructor(find: (id: string) => Promise<WholeRecord | undefined>, now: () => number) {
    this.#find = find
    this.#now = now
  }

  enter({ id, operation }: { readonly id: string; readonly operation: string }, ms: number): void {
    this.#set({ id, operation, tries: 0 }, ms)
  }

  clear(): void {
    this.#entries.clear()
  }

  async due(operation: string, limit: number, againMs: number): ReturnType<Backlog['due']> {
    const now = this.#now()
    const turn = [...this.#entries.values()]
      .filter((entry) => entry.operation === operation && entry.dueAt <= now)
      .toSorted((a, b) => a.dueAt - b.dueAt)
      .slice(0, limit)
      .map((entry) => this.#set(entry, againMs))
    const records: DueRecord[] = []
    // All are put off before the first is looked at: nobody else has them meanwhile.
    for (const entry of turn) {
      const record = await this.#find(entry.id)
      if (isToDo(record)) records.push({ record, tries: entry.tries })
      // Not one that was made meanwhile, for another execution.
      else if (this.#entries.get(entry.id) === entry) this.#entries.delete(entry.id)
    }
    return { seen: turn.length, records }
  }

  async putOff(id: string, ms: number, tries: number): Promise<void> {
    const record = await this.#find(id)
    if (isToDo(record)) this.#set({ id, operation: record.operation, tries }, ms)
  }

  #set(entry: Omit<Entry, 'dueAt'>, ms: number): Entry {
    const next = { ...entry, dueAt: this.#now() + ms }
    this.#entries.set(entry.id, next)
    return next
  }
}

function isToDo(record: WholeRecord | undefined): record is WholeRecord {
  return record?.task !== undefined && record.state !== 'finished'
}

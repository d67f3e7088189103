/** `pawl/memory` under the contract suite: the application's rows are a list, which a transaction adds to at its end. */
import { AbortedError } from '../../src/core/store.ts'
import { memoryStore } from '../../src/memory/index.ts'
import type { StoreUnderTest } from '../../src/testing/index.ts'

/** The rows of one transaction. */
interface Rows {
  add(name: string): void
}

export function openMemory(): Promise<StoreUnderTest<Rows, never>> {
  const committed: string[] = []
  const store = memoryStore<Rows>({
    transaction: async (work) => {
      const names: string[] = []
      let isOpen = true
      const add = (name: string): void => {
        if (!isOpen) throw new Error('the transaction has ended')
        names.push(name)
      }
      try {
        const result = await work({ add })
        committed.push(...names)
        return result
      } finally {
        isOpen = false
      }
    },
  })
  return Promise.resolve({
    store,
    effects: {
      add: (tx, name) => Promise.resolve().then(() => tx.add(name)),
      committed: () => Promise.resolve(committed),
    },
    faults: {
      abort: () => Promise.reject(new AbortedError('injected')),
      refuse: () => Promise.reject(new Error('refused')),
      spoils: false,
    },
    advance: (ms) => store.advance(ms),
    close: () => Promise.resolve(store.clear()),
  })
}

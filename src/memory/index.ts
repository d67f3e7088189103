/**
 * `pawl/memory`: a store for the tests of an application. `tx` is what the test hands in.
 * @module
 */
export { memoryStore, type MemoryStore, type MemoryTransaction } from './memory-store.ts'

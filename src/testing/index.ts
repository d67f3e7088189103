/**
 * `pawl/testing`: proves a store for another database with the suite that all of Pawl's own stores run.
 * @module
 */
export { type StoreSuite, testStore, type TestRunner } from './store-suite.ts'
export type { StoreUnderTest } from './store-under-test.ts'

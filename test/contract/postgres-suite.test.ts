/**
 * Goal: the protocol holds on every store on PostgreSQL and PGlite. Method: the suite that `pawl/testing` gives to
 * everybody, on real databases, each through its own library.
 */
import { testStoresOn } from './on-engines.ts'

testStoresOn('postgres', 'pglite')

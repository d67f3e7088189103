/** Goal: a test that passes in memory is worth something. Method: the suite that all stores run. */
import { afterAll, beforeAll, describe, test } from 'vitest'
import { testStore } from '../../src/testing/index.ts'
import { openMemory } from './stores-memory.ts'

testStore(
  { describe, test, beforeAll, afterAll },
  { name: 'memory', open: openMemory, parts: ['effects', 'faults', 'backlog', 'erase'] },
)

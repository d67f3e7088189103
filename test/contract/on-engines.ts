/**
 * The suite that `pawl/testing` gives to everybody, for all stores of some engines: a file each, so that they run at a
 * time.
 */
import { afterAll, beforeAll, describe, test } from 'vitest'
import { testStore } from '../../src/testing/index.ts'
import { leftOutParts } from '../support/elsewhere.ts'
import { type EngineName, engineOf } from './engine-of.ts'
import { overClosed } from './store-under-test.ts'
import { REOPENED_BY_MIKRO_ORM } from './stores-mikro-orm.ts'
import { STORES } from './stores.ts'

/** They open connections again by themselves. */
const REOPENS = ['prisma', 'prisma, mariadb', 'prisma, better-sqlite3', ...REOPENED_BY_MIKRO_ORM]
/** One of each engine. */
const READS_ONLY = ['pg', 'mysql2', 'better-sqlite3']

export function testStoresOn(...engines: readonly EngineName[]): void {
  for (const [name, open] of STORES) {
    if (!engines.includes(engineOf(name))) continue
    const parts = [
      ...(['effects', 'faults', 'isolation', 'backlog', 'erase'] as const),
      ...(REOPENS.includes(name) ? [] : (['closed'] as const)),
      ...(READS_ONLY.includes(name) ? (['readOnly'] as const) : []),
    ].filter((part) => !leftOutParts().includes(part))
    const opened = async () => ({ ...(await open()), closed: () => overClosed(open) })
    testStore({ describe, test, beforeAll, afterAll }, { name, open: opened, parts })
  }
}

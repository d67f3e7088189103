/**
 * Goal: the protocol holds on every store. Method: the suite that `pawl/testing` gives to everybody, on real databases,
 * each through its own library.
 */
import { afterAll, beforeAll, describe, test } from 'vitest'
import { testStore } from '../../src/testing/index.ts'
import { leftOutParts } from '../support/elsewhere.ts'
import { overClosed } from './store-under-test.ts'
import { REOPENED_BY_MIKRO_ORM } from './stores-mikro-orm.ts'
import { STORES } from './stores.ts'

/** They open connections again by themselves. */
const REOPENS = ['prisma', 'prisma, mariadb', 'prisma, better-sqlite3', ...REOPENED_BY_MIKRO_ORM]
/** One of each engine. */
const READS_ONLY = ['pg', 'mysql2', 'better-sqlite3']

for (const [name, open] of STORES) {
  const parts = [
    ...(['effects', 'faults', 'isolation', 'backlog', 'erase'] as const),
    ...(REOPENS.includes(name) ? [] : (['closed'] as const)),
    ...(READS_ONLY.includes(name) ? (['readOnly'] as const) : []),
  ].filter((part) => !leftOutParts().includes(part))
  const opened = async () => ({ ...(await open()), closed: () => overClosed(open) })
  testStore({ describe, test, beforeAll, afterAll }, { name, open: opened, parts })
}

/** Goal: the rules hold on MariaDB, through mariadb, too. Method: the same tests, on another engine below the same API. */
import { afterAll } from 'vitest'
import { runOn } from '../support/engine.ts'
import { startMariaDb } from '../support/mariadb.ts'

// Of its own: open transactions are counted on the whole server, and another file may run beside this one.
const server = await startMariaDb()
afterAll(() => server.remove())

runOn('mariadb', server.url)
await import('./syntax.test.ts')
await import('./replay.test.ts')
await import('./byte-exact.test.ts')
await import('./mismatch.test.ts')
await import('./concurrency.test.ts')
await import('./expiry.test.ts')
await import('./leaving.test.ts')
await import('./crash.test.ts')
await import('./completion.test.ts')
await import('./faults-of-mysql.ts')

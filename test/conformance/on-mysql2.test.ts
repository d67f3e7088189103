/** Goal: the rules hold on MariaDB, through the protocol of MySQL (mysql2), too. Method: the same tests, on another engine below the same API. */
import { runOn } from '../support/engine.ts'

runOn('mysql2')
await import('./syntax.test.ts')
await import('./replay.test.ts')
await import('./byte-exact.test.ts')
await import('./mismatch.test.ts')
await import('./concurrency.test.ts')
await import('./expiry.test.ts')
await import('./leaving.test.ts')
await import('./crash.test.ts')
await import('./faults-of-mysql.ts')

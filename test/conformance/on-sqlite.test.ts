/** Goal: the rules hold on SQLite, too. Method: the same tests, on another engine below the same API. */
import { runOn } from '../support/engine.ts'

runOn('sqlite')
await import('./syntax.test.ts')
await import('./replay.test.ts')
await import('./byte-exact.test.ts')
await import('./mismatch.test.ts')
await import('./concurrency.test.ts')
await import('./expiry.test.ts')
await import('./leaving.test.ts')
await import('./crash.test.ts')
await import('./completion.test.ts')
await import('./faults-of-sqlite.ts')

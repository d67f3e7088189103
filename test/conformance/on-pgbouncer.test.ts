/**
 * Goal: rule 45, the rules hold through PgBouncer in transaction mode. Method: the same tests, in front of the same
 * PostgreSQL; what breaks in them breaks between the application and PgBouncer.
 */
import { afterAll, inject } from 'vitest'
import { runOn } from '../support/engine.ts'
import { startPgBouncer } from '../support/pgbouncer.ts'

const bouncer = await startPgBouncer(inject('postgresUrl'))
afterAll(() => bouncer.stop())

runOn('pgbouncer', bouncer.url)
await import('./syntax.test.ts')
await import('./replay.test.ts')
await import('./byte-exact.test.ts')
await import('./mismatch.test.ts')
await import('./concurrency.test.ts')
await import('./expiry.test.ts')
await import('./leaving.test.ts')
await import('./crash.test.ts')
await import('./faults.test.ts')

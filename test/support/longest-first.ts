import { BaseSequencer, type TestSpecification } from 'vitest/node'

/**
 * Those of a minute and more. Vitest begins with the largest files where it has not run them yet, and these are small:
 * the last of them would run alone.
 */
export const LONG: readonly string[] = [
  'contract/postgres-suite',
  'contract/mysql-suite',
  'conformance/on-mariadb',
  'conformance/on-mysql2',
  'conformance/crash',
  'conformance/on-sqlite',
  'conformance/on-pgbouncer',
  'contract/cluster-suite',
  'package/package',
  'contract/sqlite-suite',
  'conformance/byte-exact',
  'conformance/faults',
  'demo/demo',
  'medusa/crash',
  'contract/galera-suite',
  'contract/deferred-begin',
  'contract/redis-suite',
].map((name) => `/test/${name}.test.ts`)

/** Those first. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    return sorted
      .map((file) => ({ file, rank: LONG.findIndex((end) => file.moduleId.endsWith(end)) }))
      .sort((a, b) => (a.rank < 0 ? LONG.length : a.rank) - (b.rank < 0 ? LONG.length : b.rank))
      .map(({ file }) => file)
  }
}

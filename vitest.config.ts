import { configDefaults, defineConfig } from 'vitest/config'
import { hasGalera } from './test/support/galera.ts'
import { isPromised } from './test/support/global-setup.ts'
import { LongestFirst } from './test/support/longest-first.ts'
import { hasMariaDb } from './test/support/mariadb.ts'
import { hasPgBouncer } from './test/support/pgbouncer.ts'
import { PEERS_FOLDER, peersPlugin } from './test/support/peers-plugin.ts'
import { suitesWithoutStores } from './test/support/engine-suites.ts'
import { hasRedis } from './test/support/redis.ts'

/** Where a JSON report goes, beside what is printed; `.ci/run` counts by it. */
const report = process.env['PAWL_TEST_REPORT']

export default defineConfig({
  plugins: PEERS_FOLDER === undefined ? [] : [peersPlugin(PEERS_FOLDER)],
  test: {
    include: ['test/**/*.test.ts'],
    // On a machine without the server; the setup says so, and CI fails instead.
    exclude: [
      ...configDefaults.exclude,
      ...(PEERS_FOLDER === undefined ? ['test/contract/peers.test.ts'] : []),
      ...(isPromised() || hasMariaDb()
        ? []
        : ['test/contract/mysql.test.ts', 'test/conformance/on-{mariadb,mysql2}.test.ts']),
      ...suitesWithoutStores(isPromised() || hasMariaDb()),
      ...(isPromised() || hasGalera() ? [] : ['test/contract/galera-suite.test.ts']),
      ...(isPromised() || hasPgBouncer()
        ? []
        : ['test/contract/cluster-suite.test.ts', 'test/conformance/on-pgbouncer.test.ts']),
      ...(isPromised() || hasRedis() ? [] : ['test/contract/redis*.test.ts']),
    ],
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    pool: 'forks',
    // Most of the time a test waits, for a lease or a server. With three, some waited longer than they may, and all
    // together took six sevenths of the time: the processors were busy.
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    reporters: report === undefined ? ['default'] : ['default', ['json', { outputFile: report }]],
    // Type tests: a `@ts-expect-error` without an error behind it fails the run. test/tidy/types.test.ts holds that.
    typecheck: {
      enabled: true,
      include: ['test/types/**/*.test-d.ts'],
      tsconfig: 'test/types/tsconfig.json',
    },
  },
})

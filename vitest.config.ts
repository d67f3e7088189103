import { defineConfig } from 'vitest/config'

/** Where a JSON report goes, beside what is printed; `.ci/run` counts by it. */
const report = process.env['PAWL_TEST_REPORT']

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    pool: 'forks',
    // One file at a time: beside the load test on two cores, others would measure the machine.
    maxWorkers: 1,
    reporters: report === undefined ? ['default'] : ['default', ['json', { outputFile: report }]],
    // Type tests: a `@ts-expect-error` without an error behind it fails the run. test/tidy/types.test.ts holds that.
    typecheck: {
      enabled: true,
      include: ['test/types/**/*.test-d.ts'],
      tsconfig: 'test/types/tsconfig.json',
    },
  },
})

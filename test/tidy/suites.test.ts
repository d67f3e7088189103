/** Goal: the contract suite runs where it has stores, and only there; what is to begin first is there. */
import { existsSync } from 'node:fs'
import { expect, onTestFinished, test, vi } from 'vitest'
import { suitesWithoutStores } from '../support/engine-suites.ts'
import { LONG } from '../support/longest-first.ts'

const left = (isMariaDbThere: boolean, env: Readonly<Record<string, string | undefined>>) => {
  onTestFinished(() => void vi.unstubAllEnvs())
  vi.stubEnv('PAWL_TEST_URL', env['PAWL_TEST_URL'])
  vi.stubEnv('PAWL_TEST_STORES', env['PAWL_TEST_STORES'])
  return suitesWithoutStores(isMariaDbThere).map((path) => /\w+(?=-suite)/.exec(path)?.[0])
}

test.each([
  ['all of them with MariaDB', true, {}, []],
  ['all but its own without', false, {}, ['mysql']],
  ['those of the stores chosen', false, { PAWL_TEST_STORES: 'pglite;libsql' }, ['mysql']],
  ['that of a MySQL elsewhere', false, { PAWL_TEST_URL: 'mysql://h/d' }, ['postgres', 'sqlite']],
  [
    'that of a PostgreSQL elsewhere',
    true,
    { PAWL_TEST_URL: 'postgres://h/d' },
    ['mysql', 'sqlite'],
  ],
])('suites: %s', (_, isMariaDbThere, env, expected) => {
  expect(left(isMariaDbThere, env)).toEqual(expected)
})

test.each(LONG)('%s, which begins first, is there', (path) => {
  expect(existsSync(new URL(`../..${path}`, import.meta.url))).toBe(true)
})

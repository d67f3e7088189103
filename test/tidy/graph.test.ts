/**
 * Goal: the import graph is the one of the house. Method: the rules of `.dependency-cruiser.cjs` run over the sources,
 * and over a copy in which every kind of wrong import was planted.
 */
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ROOT } from './tree.ts'

interface Violation {
  readonly from: string
  readonly to: string
  readonly rule: { readonly name: string }
}

/** Below the project, so that packages are found as they are for the sources. */
const FOLDER = join(ROOT, '.tmp', `graph-${process.pid}`)

/** File → what it holds, and the rule that must name it; '': no rule of its own. */
const PLANTED: Readonly<Record<string, readonly [text: string, rule: string]>> = {
  'core/planted-sql.ts': ["import '../sql/dialect.ts'", 'layer-core'],
  'core/planted-type.ts': [
    "import type { Dialect } from '../sql/dialect.ts'\nexport type A = Dialect",
    'layer-core',
  ],
  'core/planted-http.ts': ["import '../http/problem.ts'", 'layer-core'],
  'core/planted-builtin.ts': ["import 'node:fs'", 'layer-core'],
  'core/planted-package.ts': ["import 'structured-headers'", 'layer-core'],
  'core/planted-late.ts': ["export const a = await import('../sql/dialect.ts')", 'layer-core'],
  'core/planted-index.ts': ["import '../index.ts'", 'index-is-a-leaf'],
  'core/planted-testing.ts': ["import '../testing/planted.ts'", 'testing-is-a-leaf'],
  'core/planted-cycle.ts': ["import './planted-cycle-back.ts'", ''],
  'core/planted-cycle-back.ts': ["import './planted-cycle.ts'", ''],
  'http/planted-sql.ts': ["import '../sql/dialect.ts'", 'layer-http'],
  'http/planted-framework.ts': ["import 'express'", 'no-driver-or-framework'],
  'sql/planted-database.ts': ["import '../databases/pg.ts'", 'layer-sql'],
  'sql/planted-http.ts': ["import '../http/problem.ts'", 'layer-sql'],
  'databases/planted-driver.ts': ["import 'pg'", 'no-driver-or-framework'],
  'databases/planted-driver-type.ts': [
    "import type pg from 'pg'\nexport type A = pg.Pool",
    'no-driver-or-framework',
  ],
  'databases/planted-core.ts': ["import '../core/errors.ts'", 'databases-see-types-of-core'],
  'databases/planted-framework.ts': ["import '../frameworks/fetch.ts'", 'layer-databases'],
  'frameworks/planted-sql.ts': ["import '../sql/dialect.ts'", 'layer-frameworks'],
  'frameworks/planted-database.ts': ["import '../databases/pg.ts'", 'layer-frameworks'],
  'frameworks/planted-nowhere.ts': ["import './nothing-is-here.ts'", 'resolvable'],
  'testing/planted.ts': ['export const a = 1', ''],
  'helpers/planted.ts': ["import '../core/errors.ts'", 'unlisted-folder'],
}

async function cruise(cwd: string): Promise<readonly Violation[]> {
  const cli = join(ROOT, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs')
  const config = join(ROOT, '.dependency-cruiser.cjs')
  const args = [cli, 'src', '--config', config, '--output-type', 'json']
  // It says how many errors there are by its exit code.
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    cwd,
    maxBuffer: 64 * 1024 * 1024,
  }).catch((error: { stdout: string }) => error)
  const report = JSON.parse(stdout) as {
    modules: readonly unknown[]
    summary: { violations: readonly Violation[] }
  }
  expect(report.modules.length).toBeGreaterThan(40)
  return report.summary.violations
}

let planted: readonly Violation[] = []

beforeAll(async () => {
  cpSync(join(ROOT, 'src'), join(FOLDER, 'src'), { recursive: true })
  cpSync(join(ROOT, 'tsconfig.json'), join(FOLDER, 'tsconfig.json'))
  for (const [path, [text]] of Object.entries(PLANTED)) {
    const file = join(FOLDER, 'src', path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, `${text}\n`)
  }
  planted = await cruise(FOLDER)
}, 60_000)

afterAll(() => rmSync(FOLDER, { recursive: true, force: true }))

test('the sources import only what they may', async () => {
  const violations = await cruise(ROOT)
  expect(violations.map(({ rule, from, to }) => `${rule.name}: ${from} → ${to}`)).toEqual([])
})

describe('a planted import is caught', () => {
  const expected = Object.entries(PLANTED).flatMap(([path, [, rule]]) =>
    rule === '' ? [] : [[path, rule] as const],
  )
  test.each(expected)('%s by %s', (path, rule) => {
    const rules = planted.filter(({ from }) => from === `src/${path}`).map((one) => one.rule.name)
    expect(rules).toContain(rule)
  })
})

test('a planted cycle is caught, at one of its files', () => {
  const cycles = planted.filter(({ rule }) => rule.name === 'no-cycle')
  expect(cycles).toHaveLength(1)
  expect(cycles[0]?.from).toContain('planted-cycle')
})

test('and nothing but the planted ones', () => {
  expect(planted.filter(({ from }) => !from.includes('planted'))).toEqual([])
})

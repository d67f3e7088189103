/**
 * The tables of docs/databases.md: which library on which engine passed the contract suite, and which rules over HTTP, as
 * the runner reported it.
 *
 *   npx tsx test/support/databases-table.ts REPORT.json …           writes it
 *   npx tsx test/support/databases-table.ts --check REPORT.json …   fails where the page says something else
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type EngineName, engineOf } from '../contract/engine-of.ts'
import { numbersOf, rangesOf } from './rules.ts'

interface Report {
  readonly testResults: readonly {
    readonly name: string
    readonly assertionResults: readonly {
      readonly ancestorTitles: string[]
      readonly title: string
      readonly status: string
    }[]
  }[]
}

const { exports: EXPORTS } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as { readonly exports: Readonly<Record<string, unknown>> }
const PAGE = fileURLToPath(new URL('../../docs/databases.md', import.meta.url))
const SUITE = /contract\/(?:postgres|mysql|sqlite|redis|memory|cluster|galera)-suite\.test\.ts$/
const BEGIN = '<!-- generated from the report of the tests: begin -->'
const END = '<!-- end -->'

const ENGINES: Readonly<Record<EngineName, string>> = {
  postgres: 'PostgreSQL 18',
  pglite: 'PGlite',
  mysql: 'MariaDB 10.11',
  sqlite: 'SQLite',
}

/** What the name of a store may end with, where it ran on more than one server, or through another. */
const PLACES: Readonly<Record<string, string>> = {
  ', 2 synchronous standbys': 'PostgreSQL 18, 2 synchronous standbys',
  ', PgBouncer': 'PostgreSQL 18, through PgBouncer 1.18 in transaction mode',
  ', Galera': 'MariaDB 10.11, Galera of 3 nodes, one writer',
}

/** What a store of the suite is: its subpath, and what it ran on. */
function rowOf(store: string): readonly [subpath: string, on: string] {
  for (const [suffix, place] of Object.entries(PLACES)) {
    if (!store.endsWith(suffix)) continue
    const [subpath, on] = rowOf(store.slice(0, -suffix.length))
    return [subpath, on.replace(/^(?:PostgreSQL|MariaDB) [\d.]+/, place)]
  }
  const [library = '', driver = ''] = store.split(', ')
  const name = library.replace(' 0.3', '').replace('postgres.js', 'postgres')
  if (name === 'memory') return [`\`pawl/${name}\``, 'the process itself']
  if (name === 'redis') return [`\`pawl/${name}\``, `Redis 7, ${store.slice('redis, '.length)}`]
  const lowest = library.endsWith(' 0.3') ? ', TypeORM 0.3.20' : ''
  const on = name === 'node-sqlite' ? 'SQLite, Node 24' : ENGINES[engineOf(store)]
  return [`\`pawl/${name}\``, `${on}${driver === '' ? '' : `, ${driver}`}${lowest}`]
}

/** Tests that stand beside the suite have a title of their own, or none. */
function isStore(title: string): boolean {
  return rowOf(title)[0].replace('`pawl', '.').replace('`', '') in EXPORTS
}

type Counts = Map<string, { passed: number; all: number }>

function countsOf({ testResults }: Report): Counts {
  const stores: Counts = new Map()
  for (const { name, assertionResults } of testResults) {
    if (!SUITE.test(name)) continue
    for (const { ancestorTitles, status } of assertionResults) {
      const [store = ''] = ancestorTitles
      if (!isStore(store)) continue
      const count = stores.get(store) ?? { passed: 0, all: 0 }
      count.all++
      if (status === 'passed') count.passed++
      stores.set(store, count)
    }
  }
  return stores
}

function tableOf(reports: readonly Report[]): string {
  const stores: Counts = new Map()
  for (const report of reports)
    for (const [store, count] of countsOf(report))
      // What another lane ran again, on other versions, has no row of its own.
      if (!stores.has(store)) stores.set(store, count)
  const rows = [...stores].map(([store, { passed, all }]) => {
    const [subpath, on] = rowOf(store)
    return `| ${subpath} | ${on} | ${String(passed)} of ${String(all)} |`
  })
  return tabled('| library | on | contract suite, passed |', rows)
}

const RULES = /conformance\/(?:on-(?<on>[\w-]+)|[\w-]+)\.test\.ts$/
const OVER_HTTP: Readonly<Record<string, string>> = {
  mariadb: '| `pawl/mariadb` | MariaDB 10.11',
  mysql2: '| `pawl/mysql2` | MariaDB 10.11',
  pgbouncer: '| `pawl/pg` | PostgreSQL 18, through PgBouncer 1.18 in transaction mode',
  postgres: '| `pawl/pg` | PostgreSQL 18',
  sqlite: '| `pawl/better-sqlite3` | SQLite',
}

/** Rules that a test of theirs has failed are not among them. */
function rulesOf(reports: readonly Report[]): string {
  const engines = new Map<string, { all: number[]; failed: number[]; tests: number }>()
  for (const { name, assertionResults } of reports.flatMap(({ testResults }) => testResults)) {
    const file = RULES.exec(name)
    if (file === null) continue
    const engine = file.groups?.['on'] ?? 'postgres'
    const found = engines.get(engine) ?? { all: [], failed: [], tests: 0 }
    for (const { title, status } of assertionResults) {
      const numbers = numbersOf(title)
      found.all.push(...numbers)
      if (status === 'passed') found.tests++
      else found.failed.push(...numbers)
    }
    engines.set(engine, found)
  }
  const rows = [...engines].map(([engine, { all, failed, tests }]) => {
    const held = all.filter((rule) => !failed.includes(rule))
    return `${OVER_HTTP[engine] ?? `| ${engine} |`} | ${rangesOf(held)} | ${String(tests)} |`
  })
  return tabled('| library | on | rules | tests, passed |', rows)
}

function tabled(head: string, rows: readonly string[]): string {
  const line = head.replaceAll(/[^|]+/g, '---')
  return [head, line, ...rows.toSorted()].join('\n')
}

const args = process.argv.slice(2)
const paths = args.filter((arg) => arg !== '--check')
if (paths.length === 0) {
  console.error('expected the JSON report of a whole run: PAWL_TEST_REPORT=report.json npm test')
  process.exit(2)
}
const page = readFileSync(PAGE, 'utf8')
const from = page.indexOf(BEGIN)
const to = page.indexOf(END) + END.length
const reports = paths.map((path) => JSON.parse(readFileSync(path, 'utf8')) as Report)
const between = 'The numbered rules over HTTP, behind Express and behind fetch:'
const tables = [BEGIN, tableOf(reports), between, rulesOf(reports), END].join('\n\n')
if (!args.includes('--check')) {
  writeFileSync(PAGE, page.slice(0, from) + tables + page.slice(to))
} else if (page.slice(from, to) !== tables) {
  console.error(`docs/databases.md does not say what ran. It should be:\n${tables}`)
  process.exit(1)
}

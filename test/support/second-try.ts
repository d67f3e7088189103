/**
 * `tsx test/support/second-try.ts REPORT`: what a run of all tests saw fail is run once more, file by file, and the
 * report is amended. A test that fails twice has failed; one that passes alone is named, so that somebody mends it: on a
 * machine that other work shares, one test in ten thousand that waits for a process must not hide the others' result.
 * More than a few that failed are not a matter of waiting, and are left as they are.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'

const FAILED_MAX = 5

interface Report {
  readonly testResults: readonly FileResult[]
}
interface FileResult {
  readonly name: string
  readonly status: string
  readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[]
}

const path = process.argv[2]
if (path === undefined || !existsSync(path)) {
  console.error(
    'usage: tsx test/support/second-try.ts REPORT, as PAWL_TEST_REPORT of a run made it',
  )
  process.exit(2)
}
const report = JSON.parse(readFileSync(path, 'utf8')) as Report
const failed = report.testResults.filter(isFailed)
const names = failed.flatMap(namesOf)
if (names.length > FAILED_MAX) {
  console.log(`${names.length} failed: too many for a second try`)
  process.exit(1)
}
const again = failed.map((file) => ranAgain(file))
const results = report.testResults.map(
  (file) => again.find(({ name }) => name === file.name) ?? file,
)
writeFileSync(path, JSON.stringify({ ...report, testResults: results }))
const still = new Set(again.filter(isFailed).flatMap(namesOf))
for (const name of names) {
  console.log(
    still.has(name) ? `failed twice: ${name}` : `UNSTEADY, failed once, then passed alone: ${name}`,
  )
}
process.exitCode = names.length > 0 && again.every((file) => !isFailed(file)) ? 0 : 1

function isFailed({ status, assertionResults }: FileResult): boolean {
  return status === 'failed' || assertionResults.some((one) => one.status === 'failed')
}

/** A file that could not be loaded has no test in it. */
function namesOf(file: FileResult): string[] {
  const tests = file.assertionResults.filter(({ status }) => status === 'failed')
  const of = relative(process.cwd(), file.name)
  return tests.length === 0 ? [of] : tests.map(({ fullName }) => `${of} > ${fullName}`)
}

function ranAgain(file: FileResult): FileResult {
  const folder = mkdtempSync(join(tmpdir(), 'pawl-again-'))
  try {
    const own = join(folder, 'report.json')
    const env = { ...process.env, PAWL_TEST_REPORT: own }
    spawnSync('npx', ['vitest', 'run', relative(process.cwd(), file.name)], {
      env,
      stdio: 'inherit',
    })
    if (!existsSync(own)) return file
    const { testResults } = JSON.parse(readFileSync(own, 'utf8')) as Report
    return testResults.find(({ name }) => name === file.name) ?? file
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

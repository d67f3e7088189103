/** Runs every example in a process of its own and holds its output against what its comment says it prints. */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { isPromised } from '../test/support/global-setup.ts'
import { hasMariaDb } from '../test/support/mariadb.ts'

const NOT_EXAMPLES: ReadonlySet<string> = new Set([
  'killed.ts',
  'process.ts',
  'run.ts',
  'support.ts',
])
const LONGEST_MS = 60_000

const folder = new URL('.', import.meta.url)
let failed = 0
// A file, or a folder with a main.ts.
const names = readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
  entry.isDirectory()
    ? [`${entry.name}/main.ts`]
    : NOT_EXAMPLES.has(entry.name)
      ? []
      : [entry.name],
)
for (const name of names) {
  if (name === 'mysql2.ts' && !isPromised() && !hasMariaDb()) {
    process.stdout.write(`LEFT OUT ${name}: MariaDB is not installed\n`)
    continue
  }
  const path = fileURLToPath(new URL(name, folder))
  const expected = printsOf(readFileSync(path, 'utf8'))
  const run = spawnSync(process.execPath, ['--import', 'tsx', path], {
    encoding: 'utf8',
    timeout: LONGEST_MS,
  })
  const isRight = run.status === 0 && expected !== '' && run.stdout.trim() === expected
  if (!isRight) failed++
  process.stdout.write(`${isRight ? 'ok    ' : 'FAILED'} ${name}\n`)
  if (!isRight)
    process.stdout.write(
      `expected:\n${expected}\ngot (${String(run.status)}):\n${run.stdout}${run.stderr}\n`,
    )
}
process.exitCode = failed === 0 ? 0 : 1

/** The lines under "prints:" in the first comment. */
function printsOf(source: string): string {
  const [, comment = ''] = /\/\*\*([\s\S]*?)\*\//.exec(source) ?? []
  const [, lines = ''] = /prints:\n([\s\S]*)/.exec(comment) ?? []
  return lines
    .split('\n')
    .map((line) => line.replace(/^ \* ?/, ''))
    .join('\n')
    .trim()
}

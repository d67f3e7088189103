/** Packages that only a comparison needs: installed when it runs, into a folder of their own, at pinned versions. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

// Peers are declared for other npms, what packages run on install is not needed here, and a lock file would name
// binaries of platforms that not every registry carries.
const FLAGS = [
  '--legacy-peer-deps',
  '--ignore-scripts',
  '--no-package-lock',
  '--no-audit',
  '--no-fund',
  '--loglevel=error',
]

/**
 * Installs what the folder's package.json pins, unless it is there.
 *
 * @returns package → version
 * @throws with what npm said of it
 */
export function install(folder: string, say: (line: string) => void): Record<string, string> {
  const { dependencies } = packageIn(folder)
  const pinned = Object.entries(dependencies ?? {})
  if (pinned.some(([name, version]) => versionIn(folder, name) !== version)) {
    say(`Installing ${pinned.map(([name]) => name).join(', ')} …`)
    try {
      execFileSync('npm', ['install', ...FLAGS], {
        cwd: folder,
        stdio: ['ignore', 'ignore', 'pipe'],
        encoding: 'utf8',
      })
    } catch (error) {
      throw new Error(refusalOf(error), { cause: error })
    }
  }
  return Object.fromEntries(pinned)
}

/** The first line in which npm says what is wrong. Without addresses: those are the reader's own. */
function refusalOf(error: unknown): string {
  const { stderr } = error as { stderr?: string }
  const lines = (stderr ?? String(error))
    .split('\n')
    .map((line) => line.replace(/^npm (error|ERR!) ?(\d{3}\b)?/, '').trim())
    .filter((line) => line !== '' && !/^code |https?:|log of this run/.test(line))
  return `npm install: ${lines[0] ?? String(error)}`
}

function versionIn(folder: string, name: string): string | undefined {
  try {
    return packageIn(join(folder, 'node_modules', name)).version
  } catch {
    return undefined
  }
}

function packageIn(folder: string): { version?: string; dependencies?: Record<string, string> } {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as object
}

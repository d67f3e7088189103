/** Packages that only a comparison needs: installed when it runs, into a folder of their own, at pinned versions. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

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

const refusals = new Map<string, Error>()

/**
 * Installs what the folder's package.json pins, unless it is there. What npm has refused is not asked for again.
 *
 * @returns package → version
 * @throws with what npm said of it
 */
export async function install(
  folder: string,
  say: (line: string) => void,
): Promise<Record<string, string>> {
  const { dependencies } = packageIn(folder)
  const pinned = Object.entries(dependencies ?? {})
  if (pinned.some(([name, version]) => versionIn(folder, name) !== version)) {
    const refused = refusals.get(folder)
    if (refused !== undefined) throw refused
    say(`Installing ${pinned.map(([name]) => name).join(', ')} …`)
    try {
      await promisify(execFile)('npm', ['install', ...FLAGS], { cwd: folder })
    } catch (error) {
      const refusal = new Error(refusalOf(error), { cause: error })
      refusals.set(folder, refusal)
      throw refusal
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

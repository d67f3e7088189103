/**
 * The demo as a user runs it: the package built, three processes, three real SIGKILLs, output into a pipe. The build
 * goes to a folder of its own, so that this test neither needs nor disturbs `dist/`.
 */
import { execFile, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { wantsColour } from '../../demo/timeline.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'pawl-demo-test-'))
const MINUTES = 60_000

beforeAll(async () => {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const into = ['-p', join(root, 'tsconfig.build.json'), '--outDir', join(folder, 'dist')]
  await promisify(execFile)(process.execPath, [tsc, ...into], { cwd: root })
  cpSync(join(root, 'demo'), join(folder, 'demo'), { recursive: true })
  cpSync(join(root, 'package.json'), join(folder, 'package.json'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'dir')
}, 2 * MINUTES)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

function demo(
  options: readonly string[],
  settings: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const env: NodeJS.ProcessEnv = { ...process.env, ...settings }
  for (const name of [
    'FORCE_COLOR',
    'NODE_OPTIONS',
    ...('DATABASE_URL' in settings ? [] : ['DATABASE_URL']),
  ])
    delete env[name]
  return new Promise((resolve, reject) => {
    const args = ['--import', 'tsx', 'demo/main.ts', ...options]
    const child = spawn(process.execPath, args, {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, stdout, stderr }))
  })
}

describe('npm run demo', () => {
  test(
    'three kills, and one ride, one charge, one receipt; plain text in a pipe; nothing left behind',
    async () => {
      const { code, stdout, stderr } = await demo([])
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(stdout).toContain('rides 1 · charges 1 · receipts 1 · provider calls 2 (same key)')
      expect(stdout.match(/✗ KILLED \(SIGKILL\)/g)).toHaveLength(3)
      expect(stdout.match(/201 · Idempotent-Replayed: true/g)).toHaveLength(2)
      expect(stdout).not.toMatch(/[\u001b\r]/)
      const data = /\(PGlite\) in (\S+)/.exec(stdout)?.[1]
      expect(data).toBeDefined()
      expect(existsSync(data ?? '')).toBe(false)
    },
    3 * MINUTES,
  )

  test(
    'a provider that ignores downstream keys charges twice, and the demo says so and fails',
    async () => {
      const { code, stdout } = await demo([], { PAWL_DEMO_DEFECT: 'provider-ignores-keys' })
      expect(code).toBe(1)
      expect(stdout).toContain('✗ charges 2, expected 1')
    },
    3 * MINUTES,
  )

  test('--help explains, and a wrong option is refused', async () => {
    const help = await demo(['--help'])
    expect(help).toMatchObject({ code: 0, stderr: '' })
    expect(help.stdout).toContain('--serve')
    const wrong = await demo(['--sevre'])
    expect(wrong).toMatchObject({ code: 2, stdout: '' })
    expect(wrong.stderr).toContain("Unknown option '--sevre'")
  })

  test('a DATABASE_URL that answers nothing is named, without its password', async () => {
    const url = 'postgres://rider:hunter2@127.0.0.1:1/rides'
    const { code, stdout, stderr } = await demo([], { DATABASE_URL: url })
    expect(code).toBe(1)
    expect(stderr).toContain('Cannot use DATABASE_URL (127.0.0.1:1/rides): connect ECONNREFUSED')
    expect(stdout + stderr).not.toContain('hunter2')
  })
})

describe('colour', () => {
  const terminal = { isTTY: true, write: () => true }
  const pipe = { isTTY: false, write: () => true }

  test.each([
    ['a terminal', terminal, {}, true],
    ['a pipe', pipe, {}, false],
    ['a terminal, NO_COLOR', terminal, { NO_COLOR: '1' }, false],
    ['a terminal, NO_COLOR empty', terminal, { NO_COLOR: '' }, true],
    ['a dumb terminal', terminal, { TERM: 'dumb' }, false],
    ['a pipe, FORCE_COLOR', pipe, { FORCE_COLOR: '1' }, true],
    ['a terminal, FORCE_COLOR=0', terminal, { FORCE_COLOR: '0' }, false],
  ])('%s', (_name, output, env, expected) => {
    expect(wantsColour(output, env)).toBe(expected)
  })
})

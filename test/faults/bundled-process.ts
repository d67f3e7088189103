/** A process of this folder, started fast: bundled once, so that a hundred of them cost what they do, not what they load. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

/** Of what is written for CommonJS. */
const BANNER = `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);`

/** A running one. */
export type Bundled = ChildProcessByStdio<Writable, Readable, null>

const bundles = new Map<string, Promise<string>>()
const files = new Set<string>()
const running = new Set<Bundled>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  for (const file of files) rmSync(file, { force: true })
})

/** Starts `main`, a file of this folder. Its standard input and output are pipes. */
export async function startBundled(
  main: string,
  env: Readonly<Record<string, string>>,
): Promise<Bundled> {
  let bundle = bundles.get(main)
  if (bundle === undefined) bundles.set(main, (bundle = bundled(main)))
  const child = spawn(process.execPath, [await bundle], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  })
  running.add(child)
  child.once('close', () => running.delete(child))
  child.stdin.on('error', () => undefined)
  return child
}

async function bundled(main: string): Promise<string> {
  // Below the project, where what is left out is found.
  const outfile = fileURLToPath(
    new URL(`../../.tmp/${main.replace('.ts', '')}-${process.pid}.mjs`, import.meta.url),
  )
  files.add(outfile)
  await build({
    entryPoints: [fileURLToPath(new URL(main, import.meta.url))],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    banner: { js: BANNER },
    external: ['pg-native', 'better-sqlite3'],
    logLevel: 'error',
  })
  return outfile
}

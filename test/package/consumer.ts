/**
 * The package as npm would publish it, unpacked into empty projects outside of this one, without asking a registry: the
 * two dependencies are copied. Built from the sources into a folder of its own, so that a stale `dist/` proves nothing.
 */
import { execFile } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

/** The folder of this project. */
export const ROOT: string = join(import.meta.dirname, '..', '..')

const run = promisify(execFile)

/** What `npm pack` made. */
export interface Packed {
  readonly tarball: string
  /** The files in it. */
  readonly files: readonly string[]
  /** The names one imports: `pawl`, `pawl/pg` … */
  readonly subpaths: readonly string[]
  /** A project that has the package and its dependencies and nothing else; all are removed with the package. */
  project(name: string, files?: Readonly<Record<string, string>>): Promise<Project>
  remove(): void
}

/** An empty project with the package in it. */
export interface Project {
  readonly folder: string
  /** Makes a package of ours visible in it, where it is; `from`: under which name we have it. */
  link(name: string, from?: string): void
  /** Writes a script and runs it; resolves to what it printed. */
  script(file: string, text: string, flags?: readonly string[]): Promise<string>
  /** Runs the compiler; resolves to what it complains about. */
  compile(config: object): Promise<string>
}

/** Builds and packs. */
export async function pack(): Promise<Packed> {
  const folder = mkdtempSync(join(tmpdir(), 'pawl-package-'))
  const staged = join(folder, 'staged')
  const paths = ['package.json', 'README.md', 'LICENSE', 'src']
  for (const path of paths) cpSync(join(ROOT, path), join(staged, path), { recursive: true })
  await tsc(['-p', join(ROOT, 'tsconfig.build.json'), '--outDir', join(staged, 'dist')], ROOT)
  const args = ['pack', '--json', '--ignore-scripts', '--offline', '--pack-destination', folder]
  const { stdout } = await run('npm', args, { cwd: staged, maxBuffer: 64 * 1024 * 1024 })
  const report = JSON.parse(stdout) as unknown
  const [made] = (Array.isArray(report) ? report : Object.values(report as object)) as {
    filename: string
    files: readonly { path: string }[]
  }[]
  if (made === undefined) throw new Error('npm pack made nothing')
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    exports: Readonly<Record<string, string | object>>
    dependencies: Readonly<Record<string, string>>
  }
  const tarball = join(folder, made.filename)
  return {
    tarball,
    files: made.files.map(({ path }) => path),
    subpaths: Object.entries(manifest.exports).flatMap(([name, target]) =>
      typeof target === 'string' ? [] : [name.replace('.', 'pawl')],
    ),
    project: async (name, files = {}) => {
      const at = join(folder, name)
      await install(at, tarball, Object.keys(manifest.dependencies))
      for (const [path, text] of Object.entries(files)) writeFileSync(join(at, path), text)
      return projectAt(at)
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

async function install(
  at: string,
  tarball: string,
  dependencies: readonly string[],
): Promise<void> {
  const into = join(at, 'node_modules', 'pawl')
  mkdirSync(into, { recursive: true })
  await run('tar', ['-xzf', tarball, '-C', into, '--strip-components=1'])
  for (const name of dependencies) {
    const from = join(ROOT, 'node_modules', name)
    cpSync(from, join(at, 'node_modules', name), { recursive: true, dereference: true })
  }
  writeFileSync(join(at, 'package.json'), '{ "private": true, "type": "module" }\n')
}

function projectAt(folder: string): Project {
  return {
    folder,
    link: (name, from = name) => {
      const link = join(folder, 'node_modules', name)
      mkdirSync(dirname(link), { recursive: true })
      symlinkSync(join(ROOT, 'node_modules', from), link, 'dir')
    },
    script: async (file, text, flags = []) => {
      writeFileSync(join(folder, file), text)
      const { stdout } = await run(process.execPath, [...flags, file], { cwd: folder })
      return stdout.trim()
    },
    compile: async (config) => {
      writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
      return await tsc(['-p', '.'], folder).catch(
        (error: { stdout?: string; message: string }) => error.stdout ?? error.message,
      )
    },
  }
}

async function tsc(args: readonly string[], cwd: string): Promise<string> {
  const cli = join(ROOT, 'node_modules/typescript/bin/tsc')
  return (await run(process.execPath, [cli, ...args], { cwd })).stdout
}

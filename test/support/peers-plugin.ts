/** Resolves libraries from another folder than the project's, for tests that run on other versions of them. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Plugin } from 'vitest/config'

/** The folder with those versions, made by `peers-lane.ts`. */
export const PEERS_FOLDER: string | undefined = process.env['PAWL_TEST_PEERS']

/** What lies there, by the name it is imported by. */
export function peersIn(folder: string): readonly string[] {
  const { dependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>
  }
  return Object.keys(dependencies)
}

/** `drizzle-orm/node-postgres` is of `drizzle-orm`. What is not there fails: the project's own would be run unseen. */
export function peersPlugin(folder: string): Plugin {
  const names = peersIn(folder)
  // A file that exists: for one that does not, Vite looks from the project.
  const importer = join(folder, 'package.json')
  return {
    name: 'pawl-peers',
    enforce: 'pre',
    async resolveId(source) {
      if (!names.some((name) => source === name || source.startsWith(`${name}/`))) return null
      const resolved = await this.resolve(source, importer, { skipSelf: true })
      if (resolved?.id.startsWith(join(folder, 'node_modules')) === true) return resolved
      // Compiled once, in the project, and linked.
      if (resolved !== null && source === 'better-sqlite3') return resolved
      throw new Error(`${source} is not in ${folder}`)
    },
  }
}

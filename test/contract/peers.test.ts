/**
 * Goal: what a lane says it ran is what ran. Method: each library as the tests import it is the very module that Node
 * finds in the lane's folder.
 */
import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { PEERS_FOLDER, peersIn } from '../support/peers-plugin.ts'

const folder = PEERS_FOLDER ?? ''

function urlOf(name: string): string {
  const code = 'console.log(import.meta.resolve(process.argv[1]))'
  const args = ['--input-type=module', '-e', code, name]
  return execFileSync(process.execPath, args, { cwd: folder, encoding: 'utf8' }).trim()
}

/** Functions and classes, those of an object that is the default export as well: no two copies of a module share one. */
function functionsOf(module: { readonly default?: unknown }): readonly unknown[] {
  const values = [...Object.values(module), ...Object.values(Object(module.default) as object)]
  return values.filter((value) => typeof value === 'function')
}

const imported = async (name: string): Promise<object> => (await import(name)) as object

test.each(peersIn(folder))('%s is that of the folder', async (name) => {
  const functions = functionsOf(await imported(urlOf(name)))
  expect(functions.length).toBeGreaterThan(0)
  const found = new Set(functionsOf(await imported(name)))
  expect(functions.filter((one) => !found.has(one))).toEqual([])
})

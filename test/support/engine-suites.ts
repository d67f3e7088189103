/** The files of the contract suite, one an engine, and which of them have no store in this run: one without tests fails. */
import { type EngineName, engineOf } from '../contract/engine-of.ts'
import { elsewhere } from './elsewhere.ts'

type Suite = 'postgres' | 'mysql' | 'sqlite'

/** All of them. */
export const SUITES: readonly Suite[] = ['postgres', 'mysql', 'sqlite']

/** Its path, from the project's root. */
export function suiteFile(suite: Suite): string {
  return `test/contract/${suite}-suite.test.ts`
}

/** @param isMariaDbThere - on this machine */
export function suitesWithoutStores(isMariaDbThere: boolean): string[] {
  const there = new Set(chosen() ?? (isMariaDbThere ? SUITES : ['postgres', 'sqlite']))
  return SUITES.filter((suite) => !there.has(suite)).map(suiteFile)
}

function chosen(): readonly Suite[] | undefined {
  const engine = elsewhere()?.engine
  if (engine !== undefined) return [engine]
  return process.env['PAWL_TEST_STORES']?.split(';').map((store) => suiteOf(engineOf(store)))
}

function suiteOf(engine: EngineName): Suite {
  return engine === 'pglite' ? 'postgres' : engine
}

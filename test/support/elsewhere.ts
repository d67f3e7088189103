/** A database that the contract suite was pointed at (test/support/suite.ts), in place of those the tests start. */

const { env } = process

/** Its URL and family; undefined: the tests start their own. */
export function elsewhere():
  { readonly url: string; readonly engine: 'postgres' | 'mysql' } | undefined {
  const url = env['PAWL_TEST_URL']
  if (url === undefined) return undefined
  return { url, engine: url.startsWith('postgres') ? 'postgres' : 'mysql' }
}

/** A pooler that shares connections is in between: nothing may be prepared by name. */
export function isBehindPooler(): boolean {
  return env['PAWL_TEST_POOLER'] === '1'
}

/** The parts of the suite that the engine cannot have. */
export function leftOutParts(): readonly string[] {
  return (env['PAWL_TEST_WITHOUT'] ?? '').split(',').filter(Boolean)
}

/** Which engine a store of the suite runs on, by its name. */
export type EngineName = 'postgres' | 'pglite' | 'mysql' | 'sqlite'

export function engineOf(store: string): EngineName {
  if (/mysql|mariadb/.test(store)) return 'mysql'
  if (/sqlite|libsql/.test(store)) return 'sqlite'
  return store === 'pglite' ? 'pglite' : 'postgres'
}

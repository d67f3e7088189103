/** Every dialect, for libraries that speak to all of them. */
import { mysql } from './mysql.ts'
import { postgres } from './postgres.ts'
import { sqlite } from './sqlite.ts'

export { mysql, postgres, sqlite }

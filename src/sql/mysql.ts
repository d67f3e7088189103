/** MySQL 8 and MariaDB 10.6 and newer: InnoDB, one writer. Statements: mysql-texts.ts; their order: mysql-steps.ts. */
import { ConfigError } from '../core/errors.ts'
import type { Dialect, MigrationTexts } from './dialect.ts'
import { SAVEPOINT } from './guard.ts'
import { mysqlMigrations } from './migrations/mysql.ts'
import { check } from './mysql-check.ts'
import { failureOf, hasAnswered } from './mysql-errors.ts'
import { mysqlSteps } from './mysql-steps.ts'
import { mysqlTexts } from './mysql-texts.ts'

const IDENTIFIER = /^[a-z_][a-z0-9_]{0,49}$/

/** The isolation levels of InnoDB that keep a promise. */
export type MysqlIsolation = 'read committed' | 'repeatable read' | 'serializable'

function migrationStatements(table: string): MigrationTexts {
  const versions = `${table.slice(0, -1)}_migration\``
  const [schema, name] = partsOf(table)
  return {
    createVersions: `
      create table if not exists ${versions} (
        version int primary key, applied_at datetime(6) not null default (utc_timestamp(6))) engine = InnoDB`,
    versions: `select version from ${versions} order by version`,
    addVersion: `insert into ${versions} (version) values ($1) on duplicate key update version = version`,
    tableExists: `
      select column_name as column_name
        from information_schema.columns
       where table_schema = ${schema === undefined ? 'database()' : `'${schema}'`} and table_name = '${name}'`,
  }
}

function partsOf(table: string): [schema: string | undefined, name: string] {
  const parts = table.replaceAll('`', '').split('.')
  return parts.length === 2 ? [parts[0], parts[1] ?? ''] : [undefined, parts[0] ?? '']
}

/** MySQL and MariaDB. */
export const mysql: Dialect = {
  name: 'mysql',
  stage: mysqlTexts,
  steps: (table, runner) => mysqlSteps(mysqlTexts(table), runner),
  migrations: mysqlMigrations,
  migrationStatements,
  check,
  quote: (table) => {
    const parts = table.split('.')
    if (parts.length > 2 || !parts.every((part) => IDENTIFIER.test(part))) {
      throw new ConfigError(
        `table: expected "name" or "schema.name" in lower case letters, digits and "_", got ${JSON.stringify(table)}.`,
      )
    }
    return parts.map((part) => `\`${part}\``).join('.')
  },
  failureOf,
  hasAnswered,
  guard: SAVEPOINT,
  isSnapshot: (isolation) => isolation.toLowerCase() !== 'read committed',
}

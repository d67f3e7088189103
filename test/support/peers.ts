/**
 * Which versions of each peer are supported, and what runs the tests on them: the versions that are pinned in
 * `devDependencies` with all tests, the others in a lane. `test/tidy/peers.test.ts` holds the ranges of `package.json` to
 * this.
 */
import { suiteFile, SUITES } from './engine-suites.ts'

/** Versions that follow each other: the first and the last of them were run. */
export interface Line {
  readonly lowest: string
  readonly highest: string
}

/** By the name of the peer. */
export const PEERS: Readonly<Record<string, readonly Line[]>> = {
  '@electric-sql/pglite': [{ lowest: '0.3.0', highest: '0.5.16' }],
  '@mikro-orm/core': [
    { lowest: '6.4.16', highest: '6.6.16' },
    { lowest: '7.2.1', highest: '7.2.1' },
  ],
  '@prisma/client': [{ lowest: '7.10.0', highest: '7.10.0' }],
  'better-sqlite3': [
    { lowest: '12.11.1', highest: '12.11.1' },
    { lowest: '13.2.0', highest: '13.2.0' },
  ],
  'drizzle-orm': [{ lowest: '0.40.0', highest: '0.45.4' }],
  express: [
    { lowest: '4.18.0', highest: '4.22.3' },
    { lowest: '5.0.0', highest: '5.3.0' },
  ],
  ioredis: [{ lowest: '5.4.0', highest: '5.11.1' }],
  // 3.0.0 cannot be loaded.
  knex: [{ lowest: '3.0.1', highest: '3.3.0' }],
  // A transaction of 0.28.8 and before goes on answering after its end.
  kysely: [{ lowest: '0.28.12', highest: '0.29.9' }],
  libsql: [{ lowest: '0.5.1', highest: '0.5.29' }],
  mariadb: [{ lowest: '3.3.0', highest: '3.5.4' }],
  mysql2: [{ lowest: '3.6.0', highest: '3.24.6' }],
  pg: [{ lowest: '8.11.0', highest: '8.23.1' }],
  postgres: [{ lowest: '3.4.0', highest: '3.4.9' }],
  redis: [{ lowest: '5.0.0', highest: '6.3.1' }],
  sequelize: [{ lowest: '6.30.0', highest: '6.37.8' }],
  typeorm: [
    { lowest: '0.3.20', highest: '0.3.31' },
    { lowest: '1.0.0', highest: '1.1.1' },
  ],
}

/** Tests on versions of their own. */
export interface Lane {
  /** As in `dependencies`, by the name that tests import. */
  readonly packages: Readonly<Record<string, string>>
  /** Of npm, where the machine's is too old for them. */
  readonly node?: string
  /** Of the contract suite. */
  readonly stores: readonly string[]
  readonly files: readonly string[]
}

const mikroOrm = (version: string, sqlite = version): Record<string, string> => ({
  '@mikro-orm/core': version,
  '@mikro-orm/postgresql': version,
  '@mikro-orm/mysql': version,
  '@mikro-orm/mariadb': version,
  '@mikro-orm/better-sqlite': sqlite,
  '@mikro-orm/libsql': version,
})

const MIKRO_ORM = [
  'mikro-orm',
  'mikro-orm, mysql2',
  'mikro-orm, mariadb',
  'mikro-orm, better-sqlite3',
  'mikro-orm, libsql',
]
const KYSELY = ['kysely, pg', 'kysely, mysql2', 'kysely, better-sqlite3']
const LATE = 'test/contract/late-statements.test.ts'
const PROOF = 'test/contract/peers.test.ts'

export const LANES: Readonly<Record<string, Lane>> = {
  lowest: {
    packages: {
      ...mikroOrm('6.4.16'),
      '@electric-sql/pglite': '0.3.0',
      'better-sqlite3': '12.11.1',
      'drizzle-orm': '0.40.0',
      express: '5.0.0',
      express4: 'npm:express@4.18.0',
      ioredis: '5.4.0',
      knex: '3.0.1',
      kysely: '0.28.12',
      libsql: '0.5.1',
      mariadb: '3.3.0',
      mysql2: '3.6.0',
      pg: '8.11.0',
      postgres: '3.4.0',
      redis: '5.0.0',
      sequelize: '6.30.0',
      // The inner ends of its range; the outer ones are pinned.
      typeorm: '1.0.0',
      typeorm03: 'npm:typeorm@0.3.31',
    },
    stores: [
      'pg',
      'postgres.js',
      'pglite',
      'mysql2',
      'mariadb',
      'libsql',
      ...['typeorm', 'typeorm, mysql2', 'typeorm, better-sqlite3'],
      ...['typeorm 0.3', 'typeorm 0.3, mysql2', 'typeorm 0.3, better-sqlite3'],
      ...['drizzle, node-postgres', 'drizzle, postgres-js'],
      ...['drizzle, mysql2', 'drizzle, better-sqlite3'],
      ...['knex, pg', 'knex, mysql2', 'knex, better-sqlite3'],
      ...KYSELY,
      ...['sequelize, pg', 'sequelize, mysql2'],
      ...MIKRO_ORM,
    ],
    files: [
      PROOF,
      ...SUITES.map(suiteFile),
      'test/contract/redis-suite.test.ts',
      'test/unit/http/express.test.ts',
      'test/unit/http/express-flow.test.ts',
    ],
  },
  newest: {
    // What wants a newer Node than the oldest that is supported.
    packages: {
      ...mikroOrm('7.2.1', 'npm:@mikro-orm/sqlite@7.2.1'),
      'better-sqlite3': '13.2.0',
      kysely: '0.29.9',
    },
    node: '24.21.0',
    stores: ['node-sqlite', 'better-sqlite3', ...KYSELY, ...MIKRO_ORM],
    files: [PROOF, ...SUITES.map(suiteFile), LATE],
  },
}

/** `pawl/mikro-orm` under the contract suite. */
import { EntitySchema, Utils } from '@mikro-orm/core'
import { MikroORM as OnBetterSqlite } from '@mikro-orm/better-sqlite'
import { MikroORM as OnLibsql } from '@mikro-orm/libsql'
import { MikroORM as OnMariaDb } from '@mikro-orm/mariadb'
import { MikroORM as OnMysql } from '@mikro-orm/mysql'
import { MikroORM as OnPostgres } from '@mikro-orm/postgresql'
import { mikroOrmStore } from '../../src/databases/mikro-orm.ts'
import { questionMarks } from '../../src/sql/placeholders.ts'
import type { Engine } from './engines.ts'
import { freshTable, inWordsOfSuite, opened, type SqlStoreUnderTest } from './store-under-test.ts'

/** MikroORM wants one entity at least. */
const Effect = new EntitySchema<{ step: string; attempt: number }>({
  name: 'Effect',
  properties: { step: { type: 'string', primary: true }, attempt: { type: 'integer' } },
})

export type MikroOrmDriver = 'postgresql' | 'mysql' | 'mariadb' | 'better-sqlite' | 'libsql'

/** What its drivers have in common, in the types of the first. */
const LIBRARIES: Readonly<Record<MikroOrmDriver, typeof OnPostgres>> = {
  postgresql: OnPostgres,
  mysql: OnMysql as unknown as typeof OnPostgres,
  mariadb: OnMariaDb as unknown as typeof OnPostgres,
  'better-sqlite': OnBetterSqlite as unknown as typeof OnPostgres,
  libsql: OnLibsql as unknown as typeof OnPostgres,
}

/** From 7 on it connects again after its `close`, to what is still there: a server is. */
export const REOPENED_BY_MIKRO_ORM: readonly string[] =
  Number.parseInt(Utils.getORMVersion()) < 7
    ? []
    : ['mikro-orm', 'mikro-orm, mysql2', 'mikro-orm, mariadb']

export async function openMikroOrm(
  driver: MikroOrmDriver,
  engine: Engine,
): Promise<SqlStoreUnderTest> {
  const where = engine.name === 'sqlite' ? { dbName: engine.at } : { clientUrl: engine.at }
  const orm = await LIBRARIES[driver].init({
    ...where,
    entities: [Effect],
    ...(engine.name === 'sqlite' ? {} : { pool: { max: 10 } }),
    ensureDatabase: false,
    debug: false,
  })
  const table = freshTable()
  const store = inWordsOfSuite(mikroOrmStore(orm, { table }), {
    queries: (em) => ({
      query: async (asked, bound = []) => {
        const { text, values } = questionMarks({ text: asked, values: bound })
        return { rows: await em.execute<unknown[]>(text, values) }
      },
    }),
  })
  const end = async (): Promise<void> => {
    await orm.close()
    await engine.close()
  }
  return await opened({ table, store, sql: engine.sql, words: engine.words, end })
}

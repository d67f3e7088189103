/** `pawl/typeorm` under the contract suite: 1.x and 0.3, the range of the peer. */
import type * as typeorm from 'typeorm'
import { typeormStore } from '../../src/databases/typeorm.ts'
import type { Engine } from './engines.ts'
import { freshTable, inWordsOfSuite, opened, type SqlStoreUnderTest } from './store-under-test.ts'

/** In the words of TypeORM. */
function optionsOf({ name, at }: Engine): typeorm.DataSourceOptions {
  switch (name) {
    case 'postgres':
      return { type: 'postgres', url: at }
    case 'mysql':
      return { type: 'mysql', url: at }
    case 'sqlite':
      return { type: 'better-sqlite3', database: at }
  }
}

export async function openTypeorm(
  lib: Pick<typeof typeorm, 'DataSource'>,
  engine: Engine,
): Promise<SqlStoreUnderTest> {
  const dataSource = new lib.DataSource(optionsOf(engine))
  await dataSource.initialize()
  const table = freshTable()
  const store = inWordsOfSuite(typeormStore(dataSource, { table }), {
    isolation: (level) => level.toUpperCase(),
    queries: (manager) => ({
      query: async (asked, bound = []) => {
        const { text, values } = engine.positional(asked, bound)
        return { rows: await manager.query<unknown[]>(text, values) }
      },
    }),
  })
  const end = async (): Promise<void> => {
    await dataSource.destroy()
    await engine.close()
  }
  return await opened({ table, store, sql: engine.sql, words: engine.words, end })
}

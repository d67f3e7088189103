/** `pawl/sequelize` under the contract suite. */
import { Sequelize, type Transaction } from 'sequelize'
import { sequelizeStore } from '../../src/databases/sequelize.ts'
import type { Engine } from './engines.ts'
import { freshTable, inWordsOfSuite, opened, type SqlStoreUnderTest } from './store-under-test.ts'

export async function openSequelize(engine: Engine): Promise<SqlStoreUnderTest> {
  const sequelize = new Sequelize(engine.at, { logging: false, pool: { max: 10 } })
  const table = freshTable()
  const store = inWordsOfSuite(sequelizeStore<Transaction>(sequelize, { table }), {
    isolation: (level) => level.toUpperCase(),
    queries: (transaction) => ({
      query: async (text, values = []) => {
        const bound = values.length === 0 ? {} : { bind: values }
        try {
          await sequelize.query(text, { transaction, ...bound })
        } catch (error) {
          const { original } = error as { original?: { code?: unknown } }
          throw Object.assign(error as Error, { code: original?.code })
        }
        return { rows: [] }
      },
    }),
  })
  const end = async (): Promise<void> => {
    await sequelize.close()
    await engine.close()
  }
  return await opened({ table, store, sql: engine.sql, words: engine.words, end })
}

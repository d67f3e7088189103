/** `pawl/knex` under the contract suite, on each of its engines. */
import knex, { type Knex } from 'knex'
import { knexStore } from '../../src/databases/knex.ts'
import type { Engine } from './engines.ts'
import { questionMarks } from '../../src/sql/placeholders.ts'
import { freshTable, inWordsOfSuite, opened, type SqlStoreUnderTest } from './store-under-test.ts'

const CLIENTS = { postgres: 'pg', mysql: 'mysql2', sqlite: 'better-sqlite3' }

export async function openKnex(engine: Engine): Promise<SqlStoreUnderTest> {
  const { name, at } = engine
  const db: Knex = knex({
    client: CLIENTS[name],
    connection: name === 'sqlite' ? { filename: at } : at,
    useNullAsDefault: true,
    // As knexSnakeCaseMappers does it.
    postProcessResponse: (answer: unknown) => camelCased(answer),
  })
  const table = freshTable()
  const store = inWordsOfSuite(knexStore(db, { table }), {
    queries: (tx: Knex.Transaction) => ({
      query: async (asked, bound = []) => {
        const { text, values } = questionMarks({ text: asked, values: bound })
        await tx.raw(text, values as never)
        return { rows: [] }
      },
    }),
  })
  const end = async (): Promise<void> => {
    await db.destroy()
    await engine.close()
  }
  return await opened({ table, store, sql: engine.sql, words: engine.words, end })
}

function camelCased(answer: unknown): unknown {
  if (Array.isArray(answer)) return answer.map(camelCased)
  if (typeof answer !== 'object' || answer === null || Buffer.isBuffer(answer)) return answer
  const { rows } = answer as { rows?: unknown }
  if (rows !== undefined) return { ...answer, rows: camelCased(rows) }
  return Object.fromEntries(
    Object.entries(answer).map(([name, value]) => [
      name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      value as unknown,
    ]),
  )
}

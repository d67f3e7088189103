/** `pawl/postgres` under the contract suite. */
import postgres from 'postgres'
import { postgresJsStore } from '../../src/databases/postgres.ts'
import { isBehindPooler } from '../support/elsewhere.ts'
import { type Engine, onPostgres } from './engines.ts'
import { freshTable, inWordsOfSuite, opened, type SqlStoreUnderTest } from './store-under-test.ts'

/** @param prepare - false behind a pooler that shares connections */
export async function openPostgresJs(
  engine: Engine = onPostgres(),
  prepare: boolean = !isBehindPooler(),
): Promise<SqlStoreUnderTest> {
  const client = postgres(engine.at, {
    onnotice: () => undefined,
    transform: postgres.camel,
    prepare,
  })
  const table = freshTable()
  const store = inWordsOfSuite(postgresJsStore(client, { table }), {
    queries: (tx) => ({
      query: async (text, values = []) => ({
        rows: [...(await tx.unsafe(text, values as never[]))],
      }),
    }),
  })
  const end = async (): Promise<void> => {
    await client.end()
    await engine.close()
  }
  return await opened({ table, store, sql: engine.sql, words: engine.words, end })
}

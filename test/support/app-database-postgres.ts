/** PostgreSQL below the API of a conformance test; PgBouncer may stand before it. */
import pg from 'pg'
import { expect } from 'vitest'
import { pgStore } from '../../src/databases/pg.ts'
import { POSTGRES } from '../contract/words.ts'
import { eventually } from './api-process.ts'
import type { AppDatabase, Reached, Row } from './app-database.ts'

export function onPostgres(reached: Reached): AppDatabase {
  const { at, name, elsewhere, pipeline = false, max, down } = reached
  const where = down === true ? { host: '127.0.0.1', port: 1 } : { connectionString: at, pipeline }
  const pool = new pg.Pool({ application_name: name, max, ...where })
  pool.on('error', () => undefined)
  const count = async (condition: string): Promise<number> => {
    const text = `select count(*)::int as n from pg_stat_activity
       where application_name = $1 and pid <> pg_backend_pid() and ${condition}`
    return Number((await pool.query<{ n: number }>(text, [name])).rows[0]?.n)
  }
  return {
    // As rides-database.ts says.
    store: (table) => pgStore(pool, { table, stageTimeouts: { idle: false } }),
    words: POSTGRES,
    effects: undefined,
    query: async (text, values = []) => (await pool.query<Row>(text, [...values])).rows,
    connect: async () => {
      const client = await pool.connect()
      return {
        query: async (text, values = []) => (await client.query<Row>(text, [...values])).rows,
        end: () => Promise.resolve(client.release()),
      }
    },
    open: () => count(`state like 'idle in transaction%'`),
    expectQuiet: async () => {
      if (elsewhere || down === true) return
      // PgBouncer may still be at a session that it has given back; one that was left open stays.
      await eventually(
        'no session to be at work',
        async () => (await count(`state <> 'idle'`)) === 0,
      )
      expect([pool.idleCount, pool.waitingCount]).toEqual([pool.totalCount, 0])
    },
    end: () => pool.end(),
  }
}

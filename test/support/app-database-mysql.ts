/** MariaDB below the API of a conformance test, through either library. */
import mariadb from 'mariadb'
import mysql2 from 'mysql2/promise'
import { mariadbStore } from '../../src/databases/mariadb.ts'
import { mysql2Store } from '../../src/databases/mysql2.ts'
import type { Store } from '../../src/index.ts'
import { questionMarks } from '../../src/sql/placeholders.ts'
import { inWordsOfSuite, type Queries } from '../contract/store-under-test.ts'
import { MYSQL } from '../contract/words.ts'
import { eventually, pause } from './api-process.ts'
import type { AppDatabase, Connection, Reached, Row } from './app-database.ts'

/** InnoDB shows its transactions from a copy, made anew only when nobody has looked for 100 ms. */
const COPY_MS = 150
const NOBODY = 'mysql://root@127.0.0.1:1/test'

// No unique constraint: it would hide the very thing that is tested for.
const EFFECTS = `create table if not exists effects (
  scope varchar(500) not null, idempotency_key varchar(255) not null, stage varchar(100) not null,
  attempt int not null, note text, at datetime(6) not null default (utc_timestamp(6)),
  nth bigint not null auto_increment primary key) collate utf8mb4_bin`

/** What both libraries have. */
interface Asked {
  query(text: string): Promise<unknown>
  execute(text: string, values: never[]): Promise<unknown>
}

export function onMysql(library: 'mysql2' | 'mariadb', reached: Reached): AppDatabase {
  const at = reached.down === true ? NOBODY : reached.at
  const rowsOf = (answer: unknown): unknown =>
    library === 'mysql2' ? (answer as unknown[])[0] : answer
  const queries = (on: Asked): Queries => ({
    query: async (asked, bound = []) => {
      const { text, values } = questionMarks({ text: asked, values: bound })
      const answer = await (values.length === 0
        ? on.query(text)
        : on.execute(text, values as never))
      const rows = rowsOf(answer)
      return { rows: Array.isArray(rows) ? rows : [] }
    },
  })
  const queryOn =
    (on: Asked): Connection['query'] =>
    async (text, values = []) =>
      (await queries(on).query(text, [...values])).rows as Row[]
  const { pool, storeOf, end } =
    library === 'mysql2' ? withMysql2(at, reached) : withMariadb(at, reached)
  const query = queryOn(pool)
  const open = async (): Promise<number> => {
    await pause(COPY_MS)
    const [row] = await query(
      `select count(*) as n from information_schema.innodb_trx t
         join information_schema.processlist p on p.id = t.trx_mysql_thread_id where p.command = 'Sleep'`,
    )
    return Number(row?.['n'])
  }
  return {
    store: (table) => inWordsOfSuite(storeOf(table), { queries: queries as never }),
    words: MYSQL,
    effects: EFFECTS,
    query,
    connect: async () => {
      const connection = await mysql2.createConnection(at)
      const asked: Connection['query'] = async (statement, bound = []) => {
        const { text, values } = questionMarks({ text: statement, values: bound })
        const [rows] = await connection.query(text, values)
        return (Array.isArray(rows) ? rows : []) as Row[]
      }
      return { query: asked, end: () => connection.end() }
    },
    open,
    expectQuiet: async () => {
      if (reached.down === true || reached.elsewhere) return
      // A transaction may end between the two tables that are joined; one that was left open stays.
      await eventually('no transaction to be open', async () => (await open()) === 0)
    },
    end,
  }
}

interface Library {
  readonly pool: Asked
  readonly storeOf: (table: string) => Store<unknown, never>
  readonly end: () => Promise<void>
}

function withMysql2(at: string, { max = 10 }: Reached): Library {
  const pool = mysql2.createPool({ uri: at, connectionLimit: max })
  const storeOf: Library['storeOf'] = (table) => mysql2Store(pool, { table })
  return { pool: pool, storeOf, end: () => pool.end() }
}

function withMariadb(at: string, { max = 10, down, elsewhere }: Reached): Library {
  // Where nobody is there it goes on asking, ten seconds by default.
  const patience = down === true || elsewhere ? '&acquireTimeout=1000' : ''
  const url = `${at.replace('mysql:', 'mariadb:')}?connectionLimit=${String(max)}${patience}`
  const pool = mariadb.createPool(url)
  const storeOf: Library['storeOf'] = (table) => mariadbStore(pool, { table })
  return { pool, storeOf, end: () => pool.end() }
}

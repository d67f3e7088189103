/** The three verbs over a pool of MySQL or MariaDB; a transaction is guarded by a savepoint (guard.ts). */
import { type Database, RolledBackError, type Rows, type Statement } from './database.ts'
import { mustHold } from './fence.ts'
import { SAVEPOINT } from './guard.ts'
import { type Entrances, lend, refuse } from './lent-client.ts'
import type { MysqlIsolation } from './mysql.ts'
import { failureOf, hasAnswered } from './mysql-errors.ts'
import { connected, type WireConnection, wireTransaction } from './wire-transaction.ts'

/** How a connection of these libraries is asked. */
const SENDING: Entrances = {
  methods: [
    'query',
    'execute',
    'batch',
    'queryStream',
    'prepare',
    'beginTransaction',
    'commit',
    'rollback',
  ],
  // Of a connection of a pool, the others do the same where they are: in mariadb both, in mysql2 `end`.
  givingAway: ['release', 'end', 'close'],
  refuse,
}

/** What both libraries have. */
interface MysqlPool<Connection> {
  getConnection(): Promise<Connection>
}

interface MysqlConnection {
  release(): unknown
  destroy(): unknown
}

type Send<Connection> = (connection: Connection, statement: Statement) => Promise<Rows>

/** @param send - how the library sends one statement */
export function mysqlPool<Connection extends MysqlConnection>(
  pool: MysqlPool<Connection>,
  send: Send<Connection>,
): Database<Connection, MysqlIsolation> {
  return {
    query: async (statement) => {
      const connection = await connected(pool.getConnection())
      try {
        return await send(connection, statement)
      } finally {
        void connection.release()
      }
    },
    within: send,
    transaction: async ({ isolation }, work) => {
      const connection = await connected(pool.getConnection())
      const wire = {
        ...verbsOf((statement) => send(connection, statement)),
        done: (broken: boolean) => void (broken ? connection.destroy() : connection.release()),
      }
      return await wireTransaction(wire, { isolation, pipelined: false, hasAnswered }, () =>
        lend(connection, work, SENDING),
      )
    },
  }
}

/** Rows, or for a statement that has none, how many it changed. */
export function rowsOfMysql(answer: unknown): Rows {
  if (Array.isArray(answer)) return answer as Rows
  return [{ changed: (answer as { readonly affectedRows: number }).affectedRows }]
}

function verbsOf(send: (statement: Statement) => Promise<Rows>): Omit<WireConnection, 'done'> {
  const plain = (text: string): Promise<Rows> => send({ text, values: [] })
  let isKnownWhole = false
  const isWhole = async (): Promise<boolean> => {
    try {
      await plain(SAVEPOINT.end)
      return (isKnownWhole = true)
    } catch (error) {
      if (SAVEPOINT.isGone(error)) return false
      throw error
    }
  }
  return {
    begin: async (isolation) => {
      await plain(`set transaction isolation level ${isolation ?? 'read committed'}`)
      await plain('start transaction')
      await plain(SAVEPOINT.begin)
    },
    send: async (last) => {
      if (!(await isWhole())) throw new RolledBackError()
      await mustHold(last, send, { failureOf })
    },
    commit: async () => {
      const whole = isKnownWhole || (await isWhole())
      await plain(whole ? 'commit' : 'rollback')
      return { command: whole ? 'COMMIT' : 'ROLLBACK' }
    },
    rollback: () => plain('rollback'),
  }
}

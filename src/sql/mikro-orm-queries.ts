/** How MikroORM is asked: its platform for what it speaks, and statements in the form of each of its drivers. */
import type { Rows, Statement } from './database.ts'
import type { Dialect } from './dialect.ts'
import { type Entrances, refuseAtOnce } from './lent-client.ts'
import { questionMarks } from './placeholders.ts'

/** What is called on an `EntityManager`. */
export interface MikroOrmQueries {
  execute(text: string, values: unknown[], method?: 'all' | 'run'): Promise<unknown>
  getPlatform(): { supportsNativeEnums(): boolean; getBooleanTypeDeclarationSQL(): string }
}

type Send = (on: MikroOrmQueries, statement: Statement) => Promise<Rows>

const READS = /^\s*select\b/i
const RETURNS = /\breturning\b/i

/** Through what a transaction is asked. That of MikroORM 7 goes on answering after its end, outside of it. */
export const ASKED: Entrances = {
  methods: [
    ...['execute', 'find', 'findAll', 'findByCursor', 'findOne', 'findOneOrFail', 'findAndCount'],
    ...['stream', 'count', 'countBy', 'populate', 'refresh', 'refreshOrFail', 'lock'],
    ...['insert', 'insertMany', 'upsert', 'upsertMany', 'nativeUpdate', 'nativeDelete'],
    ...['persist', 'persistAndFlush', 'remove', 'removeAndFlush', 'flush', 'transactional'],
    ...['begin', 'commit', 'rollback', 'getConnection', 'getTransactionContext', 'getKnex'],
    ...['getKysely', 'createQueryBuilder', 'qb', 'getRepository', 'repo'],
  ],
  refuse: refuseAtOnce,
}

/** By what its platform can do and writes: names of classes do not survive a minifier. */
export function kindOf(em: MikroOrmQueries): string {
  const platform = em.getPlatform()
  if (platform.supportsNativeEnums()) return 'postgres'
  switch (platform.getBooleanTypeDeclarationSQL()) {
    case 'tinyint(1)':
      return 'mysql'
    case 'integer':
      return 'sqlite'
    default:
      return platform.constructor.name
  }
}

/** Version 6 is built on Knex, which listens to the errors of its clients. */
export function onKnex(em: object): boolean {
  const { getConnection } = em as { getConnection(): object }
  return 'getKnex' in getConnection.call(em)
}

/** One statement, as `dialect` has it. */
export function sendingOf({ name }: Pick<Dialect, 'name'>): Send {
  return async (on, statement) => {
    const { text, values } = questionMarks(statement)
    if (name === 'mysql' && !READS.test(text)) {
      const { affectedRows } = (await on.execute(text, values, 'run')) as { affectedRows: number }
      return [{ changed: affectedRows }]
    }
    // Over libsql a text that begins with DELETE has no rows, whatever it returns.
    const marked = name === 'sqlite' && RETURNS.test(text) ? `/* pawl */ ${text}` : text
    const rows = await on.execute(marked, values)
    return Array.isArray(rows) ? (rows as Rows) : []
  }
}

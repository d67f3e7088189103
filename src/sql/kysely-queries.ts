/** How Kysely is asked without being imported: compiled statements, past the plugins of the application. */
import type { Rows, Statement } from './database.ts'
import type { Dialect } from './dialect.ts'
import { type Entrances, refuseAtOnce } from './lent-client.ts'
import { questionMarks } from './placeholders.ts'

/** What Pawl calls on a `Kysely` and on its transactions. Without plugins: some rename columns. */
export interface KyselyQueries {
  withoutPlugins(): {
    executeQuery(query: never): Promise<{ rows: unknown[]; numAffectedRows?: bigint | undefined }>
  }
}

/**
 * Through what a transaction is asked. Its own refusal begins when ROLLBACK has been answered (before 0.28.12 there is
 * none): what was sent while it was on the way ran behind it, and committed alone.
 */
export const ASKED: Entrances = {
  methods: [
    ...['selectFrom', 'selectNoFrom', 'insertInto', 'replaceInto', 'updateTable', 'deleteFrom'],
    ...['mergeInto', 'with', 'withRecursive', 'executeQuery', 'getExecutor', 'schema'],
    ...['introspection', 'transaction', 'startTransaction', 'connection', 'savepoint'],
    ...['withPlugin', 'withoutPlugins', 'withSchema', 'withTables', '$extendTables'],
    ...['$pickTables', '$omitTables'],
  ],
  refuse: refuseAtOnce,
}

/** One statement, as `dialect` has it. */
export function sendingOf({ name }: Pick<Dialect, 'name'>) {
  return async (on: KyselyQueries, statement: Statement): Promise<Rows> => {
    const { text: sql, values: parameters } =
      name === 'postgres' ? statement : questionMarks(statement)
    const query = { kind: 'RawNode', sqlFragments: [sql], parameters: [] }
    const compiled = { sql, parameters, query, queryId: { queryId: 'pawl' } }
    const { rows, numAffectedRows } = await on.withoutPlugins().executeQuery(compiled as never)
    if (rows.length > 0 || numAffectedRows === undefined) return rows as Rows
    return name === 'mysql' ? [{ changed: Number(numAffectedRows) }] : []
  }
}

/** How Drizzle is asked without being imported: statements in its `SQLWrapper`, answers in the form of each driver. */
import type { Limiting, Rows, Statement } from './database.ts'
import type { Dialect } from './dialect.ts'
import { type Entrances, refuseAtOnce } from './lent-client.ts'
import { questionMarks } from './placeholders.ts'
import { type ErringClient, type ErringPool, listenToErrors } from './pool-errors.ts'

/** Drizzle's names for the levels that keep a promise. */
export type DrizzleLevel = 'read committed' | 'repeatable read' | 'serializable'

/** What Drizzle's transactions may be told. */
export interface DrizzleConfig {
  readonly isolationLevel?: DrizzleLevel
}

/** What Pawl calls on a database of PostgreSQL or MySQL, and on its transactions. */
export interface DrizzleQueries {
  execute(query: unknown): PromiseLike<unknown>
}

/** Through what a transaction is asked. */
export const ASKED: Entrances = {
  methods: [
    ...['execute', 'select', 'selectDistinct', 'selectDistinctOn', 'insert', 'update', 'delete'],
    ...['transaction', 'run', 'all', 'get', 'values', '$count', 'refreshMaterializedView', 'with'],
  ],
  members: ['query', '_query'],
  nesting: ['transaction'],
  refuse: refuseAtOnce,
}

/** Kinds that speak a dialect, one request a statement: there is no transaction to be in. */
const WITHOUT_TRANSACTIONS = new Set([
  'NeonHttpDatabase',
  'PgRemoteDatabase',
  'MySqlRemoteDatabase',
])

const ENTITY_KIND = Symbol.for('drizzle:entityKind')

/** `PgDatabase`, `MySqlDatabase`, or the class of its own: the names that Drizzle's own `is()` goes by. */
export function kindOf(db: object): string {
  const kinds: string[] = []
  for (
    let one = Object.getPrototypeOf(db) as object | null;
    one !== null;
    one = Object.getPrototypeOf(one) as object | null
  ) {
    const kind: unknown = Reflect.get(one.constructor, ENTITY_KIND)
    if (typeof kind === 'string') kinds.push(kind)
  }
  const [own = 'not a database of Drizzle'] = kinds
  if (WITHOUT_TRANSACTIONS.has(own)) return own
  return kinds.find((kind) => kind === 'PgDatabase' || kind === 'MySqlDatabase') ?? own
}

/** Drizzle listens to no errors of a pool of node-postgres, nor of its clients, nor of a client alone. */
function listenBelow(db: object): void {
  const { $client: below } = db as { readonly $client?: object }
  if (below === undefined) return
  if ('totalCount' in below) listenToErrors(below as unknown as ErringPool)
  else if ('on' in below && 'connection' in below)
    (below as unknown as ErringClient).on('error', () => undefined)
}

/** How its transactions on PostgreSQL are limited; its clients are listened to. Of postgres.js it is a function. */
export function limitingOf(db: object, { name }: Pick<Dialect, 'name'>): Limiting | undefined {
  if (name !== 'postgres') return undefined
  listenBelow(db)
  const { $client: below } = db as { readonly $client?: unknown }
  return { withBegin: false, endsIdle: typeof below !== 'function' }
}

/** A statement as Drizzle's `SQLWrapper`. */
export function wrapped(statement: Statement, { name }: Pick<Dialect, 'name'>): object {
  const { text, values } = name === 'postgres' ? statement : questionMarks(statement)
  const sql = { toQuery: () => ({ sql: text, params: [...values] }), getSQL: (): object => sql }
  return sql
}

/** node-postgres and PGlite answer with a result, postgres.js with rows, mysql2 with rows or a header, and more. */
export function rowsOf(answer: unknown): Rows {
  if (!Array.isArray(answer)) return (answer as { readonly rows: Rows }).rows
  const [first] = answer as readonly unknown[]
  if (Array.isArray(first)) return first as Rows
  const { affectedRows } = (first ?? {}) as { readonly affectedRows?: number }
  return affectedRows === undefined ? [...(answer as Rows)] : [{ changed: affectedRows }]
}

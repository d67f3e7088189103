/**
 * Where each library turns to another connection than that of its transaction: as near to the application's own line as
 * its transactions do not pass. What each of them calls there: docs/databases.md#writes-that-miss-the-transaction.
 */
import type { RootHandle } from './outside.ts'

type Roots = readonly RootHandle[]
type Members = Readonly<Record<string, unknown>>

/** node-postgres: a pool. */
export const pgRoots = (pool: object): Roots => [
  { handle: pool, name: 'pool', methods: ['query', 'connect'], refuses: 'callback' },
]

/** PGlite. What else it has runs on the one session there is. */
export const pgliteRoots = (db: object): Roots => [
  { handle: db, name: 'db', methods: ['query', 'sql', 'exec', 'transaction', 'describeQuery'] },
]

/** mysql2 and mariadb: a pool. That of `mysql2/promise` stands before one with callbacks. */
export function mysqlRoots(pool: object): Roots {
  const { pool: below } = pool as Members
  const name = 'pool'
  const takes = ['getConnection']
  if (typeof (pool as Members)['promise'] === 'function')
    return [{ handle: pool, name, methods: takes, refuses: 'callback' }]
  const asks = ['query', 'execute', 'batch', 'importFile', ...takes]
  const promised: RootHandle = { handle: pool, name, methods: asks }
  return isObject(below) ? [promised, ...mysqlRoots(below)] : [promised]
}

/**
 * postgres.js: `sql` is a function, and its statements are sent by themselves when they are awaited. Each knows by whom
 * it was made.
 */
export function postgresJsRoots(sql: object): Roots {
  const name = 'sql'
  const { unsafe } = sql as { unsafe(text: string): object }
  const { handler, constructor } = unsafe('') as Query // Never sent: nobody awaits it.
  return [
    { handle: sql, name, methods: ['begin', 'reserve', 'file'] },
    {
      handle: constructor.prototype,
      name,
      methods: ['handle'],
      called: () => 'sql`…`',
      isInside: (query) => {
        const { handler: by, executed } = query as Query
        return by !== handler || executed
      },
      refuses: (query, error) => {
        Object.assign(query as Query, { executed: true }).reject(error)
        void Promise.prototype.then.call(query, undefined, () => undefined)
      },
    },
  ]
}

interface Query {
  readonly handler: unknown
  readonly executed: boolean
  readonly constructor: { readonly prototype: object }
  reject(error: Error): void
}

/** Drizzle: by what is below. A single connection is no other than its transaction's. */
export function drizzleRoots(db: object): Roots {
  const { $client: client } = db as Members
  if (typeof client === 'function' && 'unsafe' in client) return postgresJsRoots(client)
  if (!isObject(client)) return []
  if ('totalCount' in client) return pgRoots(client)
  if ('getConnection' in client) return mysqlRoots(client)
  return 'execProtocol' in client ? pgliteRoots(client) : []
}

/** Kysely: what gives its statements a connection. */
export const kyselyRoots = (db: { getExecutor(): object }): Roots => [
  {
    handle: db.getExecutor(),
    name: 'db',
    methods: ['provideConnection'],
    called: () => 'the Kysely of the store',
    derives: ['withPlugin', 'withPlugins', 'withPluginAtFront', 'withoutPlugins'],
  },
]

/** Knex: its client. Transactions have one of their own. */
export const knexRoots = ({ client }: { readonly client: object }): Roots => [
  {
    handle: client,
    name: 'knex',
    methods: ['acquireConnection'],
    called: () => 'the Knex of the store',
  },
]

/** MikroORM: the Knex below. Its `em` is that of the stage by itself; forks and the connection are not. */
export function mikroOrmRoots(em: object): Roots {
  const { getConnection } = em as { getConnection(): { getKnex(): { readonly client: object } } }
  const [knex] = knexRoots(getConnection.call(em).getKnex())
  return knex === undefined ? [] : [{ ...knex, called: () => 'a connection of the MikroORM' }]
}

/** Sequelize: its connection manager. */
export const sequelizeRoots = (sequelize: object): Roots => [
  {
    handle: (sequelize as { readonly connectionManager: object }).connectionManager,
    name: 'sequelize',
    methods: ['getConnection'],
    called: () => 'the Sequelize of the store, without a transaction,',
    remedy: 'Pass `{ transaction: tx }`, with the `tx` that the stage was given.',
  },
]

/** TypeORM: what gives a manager or repository without a transaction its connection. */
export const typeormRoots = (dataSource: object): Roots => [
  {
    handle: dataSource,
    name: 'dataSource',
    methods: ['createQueryRunner'],
    called: () => 'the DataSource of the store, or its manager or a repository of it,',
    refuses: 'throws',
  },
]

/** Prisma: clients share these by inheritance, extended ones and those of transactions too. */
export function prismaRoots(prisma: object): Roots {
  const { _originalClient: handle = prisma } = prisma as { readonly _originalClient?: object }
  return [
    {
      handle,
      name: 'prisma',
      methods: ['_request', '_transactionWithCallback'],
      called: ([request]) => {
        const { clientMethod = '$transaction' } = request as { readonly clientMethod?: string }
        return `prisma.${clientMethod}`
      },
      isInside: (client, [request]) =>
        isInTransaction(request) || Reflect.get(client as object, NESTED) !== undefined,
    },
  ]
}

/** Prisma's own mark of the client of a transaction. */
const NESTED = Symbol.for('prisma.client.transaction.scope_context')

function isInTransaction(request: unknown): boolean {
  const { transaction } = request as { readonly transaction?: { readonly kind: string } }
  return transaction?.kind === 'itx'
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

/** `@dbos-inc/dbos-sdk`: a workflow whose id is the key. With one transaction of a data source, or with one step. */
import type { OpenedPeer, Peer, PeerBed } from '../peers.ts'

interface Answer {
  readonly status: number
  readonly body: unknown
}

type Workflow = (to: string) => Promise<Answer>

interface Dbos {
  setConfig(config: object): void
  registerWorkflow(work: Workflow, config: { readonly name: string }): Workflow
  runStep<T>(work: () => Promise<T>, config: { readonly name: string }): Promise<T>
  withNextWorkflowID<T>(id: string, work: () => Promise<T>): Promise<T>
  launch(): Promise<void>
  shutdown(): Promise<void>
}

type Sql = (parts: TemplateStringsArray, ...values: unknown[]) => Promise<unknown>

interface DataSourceClass {
  new (name: string, options: object): DataSource
  readonly client: Sql
  initializeDBOSSchema(options: object): Promise<void>
}

interface DataSource {
  runTransaction<T>(work: () => Promise<T>, config: { readonly name: string }): Promise<T>
}

async function openDbos(
  { load, pool }: PeerBed,
  url: string,
  workOf: (dbos: Dbos) => Workflow,
): Promise<OpenedPeer> {
  const { DBOS } = load('@dbos-inc/dbos-sdk') as { DBOS: Dbos }
  const workflow = DBOS.registerWorkflow(workOf(DBOS), { name: 'book-ride' })
  DBOS.setConfig({
    name: 'bench',
    systemDatabaseUrl: url,
    systemDatabasePoolSize: pool,
    logLevel: 'error',
  })
  await DBOS.launch()
  return {
    request: async (key) => {
      const { status } = await DBOS.withNextWorkflowID(key, () => workflow('Oslo'))
      if (status !== 201) throw new Error(`answered ${String(status)}`)
    },
    close: () => DBOS.shutdown(),
  }
}

export const dbosTransaction: Peer = {
  name: '@dbos-inc/dbos-sdk, a transaction',
  folder: 'dbos',
  keepsIn: 'PostgreSQL',
  level: 'engine: a workflow of one transaction, its id the key',
  durability:
    "The transaction's result is committed with the rows, and the workflow's behind it: a crash between is recovered " +
    'without running the transaction again',
  open: async (bed) => {
    const { PostgresDataSource } = bed.load('@dbos-inc/postgres-datasource') as {
      PostgresDataSource: DataSourceClass
    }
    const url = await bed.database()
    const { hostname: host, port, username: user, pathname } = new URL(url)
    const database = pathname.slice(1)
    const options = { host, port, user, database, max: bed.pool, onnotice: () => undefined }
    await PostgresDataSource.initializeDBOSSchema(options)
    const source = new PostgresDataSource('rides', options)
    return await openDbos(bed, url, () => async (to) => {
      const insert = async (): Promise<void> => {
        bed.ran()
        await PostgresDataSource.client`insert into bench_ride (destination) values (${to})`
      }
      await source.runTransaction(insert, { name: 'insert' })
      return { status: 201, body: { to } }
    })
  },
}

export const dbosStep: Peer = {
  name: '@dbos-inc/dbos-sdk, a step',
  folder: 'dbos-step',
  keepsIn: 'PostgreSQL',
  level: 'engine: a workflow of one step, its id the key',
  durability:
    "The step's record is written behind COMMIT: a crash between leaves the rows, and recovery runs the step again",
  open: async (bed) =>
    await openDbos(bed, await bed.database(), (dbos) => async (to) => {
      await dbos.runStep(() => bed.insert(), { name: 'insert' })
      return { status: 201, body: { to } }
    }),
}

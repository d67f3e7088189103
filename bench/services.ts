/**
 * The same two-stage request through `pawl/medusa`, through the service that Medusa v1 publishes, and through neither:
 * on the TypeORM, the driver and the entity of a Medusa v1 back end, each service on a database of its own.
 */
import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { IdempotencyCallbackResult, IdempotencyKey, InjectedDependencies } from 'pawl/medusa'
import type { DataSource, DataSourceOptions, EntityManager, EntityTarget } from 'typeorm'
import { install } from './install.ts'
import type { Way } from './slices.ts'

const FOLDER = fileURLToPath(new URL('original/', import.meta.url))
const INSERT = 'insert into bench_ride (destination) values ($1)'
const RIDES = 'create table bench_ride (id bigserial primary key, destination text not null)'

/** What both services have, and all that a route uses. */
export interface Service {
  withTransaction(manager: EntityManager): Service
  initializeRequest(
    headerKey: string,
    reqMethod: string,
    reqParams: Record<string, unknown>,
    reqPath: string,
  ): Promise<IdempotencyKey>
  workStage(
    idempotencyKey: string,
    callback: (manager: EntityManager) => Promise<IdempotencyCallbackResult>,
  ): Promise<IdempotencyKey>
}

type ServiceClass = new (container: InjectedDependencies) => Service

/** A back end with one of the services. */
interface Backend {
  readonly dataSource: DataSource
  /** A fresh instance, as a container makes one for each request. */
  service(): Service
}

/** One back end on whose rows both services work. */
export interface Backends {
  readonly dataSource: DataSource
  readonly ours: () => Service
  readonly theirs: () => Service
  readonly adopt: () => Promise<void>
  readonly revert: () => Promise<void>
}

/** The modules of a Medusa v1 back end. */
interface Original {
  readonly DataSource: new (options: DataSourceOptions) => DataSource
  readonly Service: ServiceClass
  readonly entity: EntityTarget<IdempotencyKey>
}

/** Installs the published service, once; two hundred megabytes. */
export async function installOriginal(say: (line: string) => void): Promise<void> {
  await install(FOLDER, say)
}

/**
 * The ways, bare first, then Pawl, then the original.
 *
 * @param database - makes an empty database and gives its URL
 */
export async function openServices(
  database: (name: string) => Promise<string>,
  pool: number,
): Promise<{ direct: Way[]; inRoutes: Way[]; close(): Promise<void> }> {
  const original = loadOriginal()
  // After the original: the TypeORM that is loaded first keeps what all others declare, and must be the host's.
  const { IdempotencyKeyService, migrate } = await import('pawl/medusa')
  const open = async (name: string, Class: ServiceClass): Promise<Backend> => {
    const { dataSource, container } = await openSource(original, await database(name), pool)
    return { dataSource, service: () => new Class(container) }
  }
  const ours = await open('bench_pawl_medusa', IdempotencyKeyService)
  await migrate(ours.dataSource, { adopt: true })
  const theirs = await open('bench_medusa', original.Service)
  const ways = (
    request: (backend: Backend, guarded: boolean) => Promise<void>,
    suffix: string,
  ): Way[] => [
    { name: `stages alone${suffix}`, request: () => request(ours, false), isRefusal },
    { name: `pawl/medusa${suffix}`, request: () => request(ours, true), isRefusal },
    { name: `@medusajs/medusa${suffix}`, request: () => request(theirs, true), isRefusal },
  ]
  return {
    direct: ways((backend, guarded) => (guarded ? direct : directBare)(backend), ''),
    inRoutes: ways((backend, guarded) => (guarded ? inRoutes : inRoutesBare)(backend), ', routes'),
    close: async () => {
      await ours.dataSource.destroy()
      await theirs.dataSource.destroy()
    },
  }
}

/** One database, as the published service has it. */
export async function openShared(
  database: (name: string) => Promise<string>,
  pool: number,
): Promise<Backends> {
  const original = loadOriginal()
  const { IdempotencyKeyService, migrate, revert } = await import('pawl/medusa')
  const url = await database('bench_adoption')
  const { dataSource, container } = await openSource(original, url, pool)
  return {
    dataSource,
    ours: () => new IdempotencyKeyService(container),
    theirs: () => new original.Service(container),
    adopt: () => migrate(dataSource, { adopt: true }),
    revert: () => revert(dataSource),
  }
}

async function openSource(
  original: Original,
  url: string,
  pool: number,
): Promise<{ dataSource: DataSource; container: InjectedDependencies }> {
  const dataSource = new original.DataSource({
    type: 'postgres',
    url,
    entities: [original.entity as never],
    synchronize: true,
    extra: { max: pool },
  })
  await dataSource.initialize()
  await dataSource.query(RIDES)
  const container = {
    manager: dataSource.manager,
    idempotencyKeyRepository: dataSource.getRepository(original.entity),
  }
  return { dataSource, container }
}

function loadOriginal(): Original {
  const load = createRequire(`${FOLDER}package.json`)
  load('reflect-metadata')
  const { DataSource } = load('typeorm') as Pick<Original, 'DataSource'>
  const { default: Service } = load('@medusajs/medusa/dist/services/idempotency-key') as {
    default: ServiceClass
  }
  const { IdempotencyKey: entity } = load('@medusajs/medusa/dist/models/idempotency-key') as {
    IdempotencyKey: EntityTarget<IdempotencyKey>
  }
  return { DataSource, Service, entity }
}

/** Stages in transactions that the service opens. */
async function direct({ service }: Backend): Promise<void> {
  const key = await service().initializeRequest(randomUUID(), 'POST', {}, '/rides')
  await service().workStage(key.idempotency_key, bookRide)
  assertAnswered(await service().workStage(key.idempotency_key, answer))
}

async function directBare({ dataSource }: Backend): Promise<void> {
  await dataSource.transaction(bookRide)
  await dataSource.transaction(answer)
}

/** Stages in transactions that the route opens, as the routes of Medusa v1 do. */
async function inRoutes({ dataSource, service }: Backend): Promise<void> {
  const { idempotency_key } = await dataSource.transaction((manager) =>
    service().withTransaction(manager).initializeRequest(randomUUID(), 'POST', {}, '/rides'),
  )
  const stage = (
    work: (manager: EntityManager) => Promise<IdempotencyCallbackResult>,
  ): Promise<IdempotencyKey> =>
    dataSource.transaction('SERIALIZABLE', (manager) =>
      service().withTransaction(manager).workStage(idempotency_key, work),
    )
  await stage(bookRide)
  assertAnswered(await stage(answer))
}

async function inRoutesBare({ dataSource }: Backend): Promise<void> {
  await dataSource.transaction('SERIALIZABLE', bookRide)
  await dataSource.transaction('SERIALIZABLE', answer)
}

async function bookRide(manager: EntityManager): Promise<IdempotencyCallbackResult> {
  await manager.query(INSERT, ['Oslo'])
  return { recovery_point: 'ride_booked' }
}

async function answer(manager: EntityManager): Promise<IdempotencyCallbackResult> {
  await manager.query(INSERT, ['Bergen'])
  return { response_code: 201, response_body: { to: 'Oslo' } }
}

function assertAnswered(key: IdempotencyKey): void {
  if (key.response_code !== 201) throw new Error(`answered ${String(key.response_code)}`)
}

/** A serialization failure, whatever it is wrapped in: the client would be answered 409 or 500. */
function isRefusal(error: unknown): boolean {
  return (error as { code?: unknown }).code === '40001'
}

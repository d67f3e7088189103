/** What the routes of a Medusa back end call around the service: a request's beginning, a step, and its end. */
import type { EntityManager } from 'typeorm'
import { releaseRequest, withinRequest } from './holds.ts'
import type { IdempotencyCallbackResult, IdempotencyKey } from './idempotency-key.ts'
import type { IdempotencyKeyService } from './idempotency-key-service.ts'
import type { IsolationLevel } from './transaction-base-service.ts'

/** What the helpers resolve services from: awilix's container, or anything with a `resolve`. */
export interface ServiceContainer {
  resolve(name: 'idempotencyKeyService'): IdempotencyKeyService
}

/** What is read of a request. */
export interface IdempotentRequest {
  readonly method: string
  readonly path: string
  readonly params: Record<string, unknown>
  /** The request's container. */
  readonly scope: { resolve(name: string): unknown }
  get(name: string): string | undefined
}

/** What is done to a response. */
export interface IdempotentResponse {
  setHeader(name: string, value: string): unknown
  status(code: number): { send(body: string): unknown }
}

/**
 * Begins an idempotent request: reads `Idempotency-Key`, takes up the key, and tells the client which it is, so that a
 * request without one can be sent again too.
 *
 * @throws what {@link IdempotencyKeyService.initializeRequest} throws, after 409 was sent
 */
export async function initializeIdempotencyRequest(
  req: IdempotentRequest,
  res: IdempotentResponse,
): Promise<IdempotencyKey> {
  const service = req.scope.resolve('idempotencyKeyService') as IdempotencyKeyService
  const headerKey = req.get('Idempotency-Key') ?? ''
  let key: IdempotencyKey
  try {
    key = await service.initializeRequest(headerKey, req.method, req.params, req.path)
  } catch (error) {
    res.status(409).send('Failed to create idempotency key')
    throw error
  }
  res.setHeader('Access-Control-Expose-Headers', 'Idempotency-Key')
  res.setHeader('Idempotency-Key', key.idempotency_key)
  return key
}

/** What a step works with. */
export interface RunIdempotencyStepOptions {
  readonly manager: EntityManager
  /** Gets the new recovery point, status and body. */
  readonly idempotencyKey: IdempotencyKey
  readonly container: ServiceContainer
  /** Of the step's transaction. READ COMMITTED by default: the key's row is locked, which is all a stage needs. */
  readonly isolationLevel?: IsolationLevel
}

/** Runs one stage in a transaction of its own, and copies the new state onto the key object. */
export async function runIdempotencyStep(
  handler: (context: { manager: EntityManager }) => Promise<IdempotencyCallbackResult>,
  { manager, idempotencyKey, container, isolationLevel }: RunIdempotencyStepOptions,
): Promise<void> {
  const service = container.resolve('idempotencyKeyService')
  const stage = (transactionManager: EntityManager): Promise<IdempotencyKey> =>
    service
      .withTransaction(transactionManager)
      .workStage(idempotencyKey.idempotency_key, (stageManager) =>
        handler({ manager: stageManager }),
      )
  const { response_code, response_body, recovery_point } = await manager.transaction(
    isolationLevel ?? 'READ COMMITTED',
    stage,
  )
  Object.assign(idempotencyKey, { response_code, response_body, recovery_point })
}

/**
 * A middleware, before the routes: each request holds its keys for itself, and gives back what it still holds when its
 * response has ended. Without it the service knows requests by their keys alone: two of one process are told apart
 * only as long as the first one's lease is renewed, and a route that failed outside a stage keeps its key for `idle`.
 */
export function idempotencyRequests(
  _req: unknown,
  res: { readonly writableEnded?: boolean; once(event: 'close', listener: () => void): unknown },
  next: () => void,
): void {
  withinRequest(() => {
    const release = releaseRequest()
    res.once('close', () => {
      // A client that hangs up changes nothing: the route goes on, and its leases with it.
      if (res.writableEnded !== false) release()
    })
    next()
  })
}

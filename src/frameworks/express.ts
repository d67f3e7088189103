/**
 * `pawl/express`: protects a route of Express 4 or 5, as the handler itself or as a middleware before it. Mount it
 * after authentication. Express is not imported; what is needed of it is node's.
 * @module
 */
import type { ServerResponse } from 'node:http'
import type { Idempotency } from '../core/idempotency.ts'
import type { RunOver } from '../core/response-run.ts'
import type { HandlerResult } from '../core/run.ts'
import { NodeExchange } from '../http/node-exchange.ts'
import { nodeRequest, type ParsedRequest } from '../http/node-request.ts'
import { checkHandler, type RouteOptions, routeOf } from '../http/options.ts'

declare global {
  // Where applications and their middlewares declare what they put on a request (`req.user`); @types/express has the
  // same empty interface, and without it this one stands alone.
  // eslint-disable-next-line @typescript-eslint/no-namespace
  namespace Express {
    // eslint-disable-next-line @typescript-eslint/no-empty-object-type
    interface Request {}
  }
}

/**
 * What a `scope` or a handler sees of an Express request unless it names another type: `(req: Request) => …` with
 * Express's own, or `(req: AuthenticatedRequest) => …`.
 */
export interface ExpressRequest extends ParsedRequest, Express.Request {
  /** Path and query as the client sent them, whatever router this is mounted in. */
  readonly originalUrl: string
  readonly baseUrl: string
  readonly path: string
  readonly hostname: string
  readonly ip?: string | undefined
  /* eslint-disable @typescript-eslint/no-explicit-any -- what these hold is the route's and the parsers' business;
     Express 4 and 5 type them differently, and an application that wants more names its own request type. */
  readonly body?: any
  readonly params: Readonly<Record<string, any>>
  readonly query: Readonly<Record<string, any>>
  /* eslint-enable @typescript-eslint/no-explicit-any */
  get(name: string): string | undefined
}

/** What `app.post(path, …)` takes. */
export type ExpressHandler = (
  req: ExpressRequest,
  res: ServerResponse,
  next: (error?: unknown) => void,
) => void

/**
 * What a protected handler does: returns `run.finish(…)`, a response to be stored and sent, or nothing (204).
 *
 * Declared as a method, so that it may name a narrower request than Express's own.
 */
export type ExpressRunHandler<Tx, Isolation extends string> = {
  of(req: ExpressRequest, run: RunOver<Tx, Isolation>): Promise<HandlerResult> | HandlerResult
}['of']

/**
 * Protects a route. The response reaches the client only when its outcome is durable.
 *
 * @param handler - the route's handler; what it throws goes to `next`, after the lease was released. Without it this is
 * a middleware: the run is `currentRun()`, and what the handlers behind it do to `res` is held back. A registered
 * operation has its own handler
 * @throws {@link ConfigError} an option cannot be used
 */
export function idempotent<Tx, Isolation extends string>(
  idempotency: Idempotency<Tx, Isolation>,
  options: RouteOptions<ExpressRequest>,
  handler?: ExpressRunHandler<Tx, Isolation>,
): ExpressHandler {
  const route = routeOf(options)
  checkHandler(idempotency.engine, route, handler)
  return (req, res, next) => {
    const request = nodeRequest(req, req.originalUrl)
    const exchange = new NodeExchange(route, { native: req, request, res, own: handler, next })
    // What is thrown must reach `next` as an error: without one it would go on to the next route.
    exchange
      .answer(idempotency)
      .catch((error: unknown) => next(error ?? new Error('a handler threw nothing')))
  }
}

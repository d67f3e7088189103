/**
 * `pawl/fetch`: protects a handler of web requests, `(request) => Response`, wherever such a handler is at home: Hono,
 * Next.js route handlers, SvelteKit, `@hono/node-server`, Bun, Deno.
 * @module
 */
import { ConfigError } from '../core/errors.ts'
import type { CapturedDraft } from '../core/execute.ts'
import type { Idempotency } from '../core/idempotency.ts'
import type { Header } from '../core/outcome.ts'
import type { RunOver } from '../core/response-run.ts'
import type { HandlerResult } from '../core/run.ts'
import { fetchRequest } from '../http/fetch-request.ts'
import { draftOf, isResponse, responseFrom, withHeaders } from '../http/fetch-response.ts'
import { handle } from '../http/handle.ts'
import { checkHandler, type RouteOptions, routeOf } from '../http/options.ts'

/**
 * What a protected handler does: returns `run.finish(…)`, a web `Response` (stored as it is), a response to be made,
 * or nothing (204). `rest` is whatever else the framework passes.
 */
export type FetchHandler<Req, Rest extends readonly unknown[], Tx, Isolation extends string> = (
  request: Req,
  run: RunOver<Tx, Isolation>,
  ...rest: Rest
) => Promise<Response | HandlerResult> | Response | HandlerResult

/**
 * Protects a handler. The response reaches the client only when its outcome is durable; one that is too long to store,
 * or an event stream, is stored without its body and then passes through.
 *
 * @param handler - gets the request, its body unread, the run, and what else the framework passed. A registered
 * operation has its own
 * @returns rejects with what the handler threw, after the lease was released
 * @throws {@link ConfigError} an option cannot be used
 */
export function idempotent<
  Tx,
  Isolation extends string,
  Req extends Request = Request,
  Rest extends readonly unknown[] = [],
>(
  idempotency: Idempotency<Tx, Isolation>,
  options: RouteOptions<Req>,
  handler?: FetchHandler<Req, Rest, Tx, Isolation>,
): (request: Req, ...rest: Rest) => Promise<Response> {
  const route = routeOf(options)
  checkHandler(idempotency.engine, route, handler)
  if (handler === undefined && route.registered === undefined)
    throw new ConfigError('handler: expected a function of (request, run), got undefined.')
  return async (request, ...rest) => {
    let made: Response | undefined
    const added: Header[] = []
    const answer = await handle(idempotency, route, {
      native: request,
      request: fetchRequest(request),
      announce: (headers) => void added.push(...headers),
      handler: async (run, registered): Promise<HandlerResult | CapturedDraft> => {
        if (registered !== undefined) return await registered(run)
        const result = await handler?.(request, run, ...rest)
        if (!isResponse(result)) return result
        const draft = run.protected ? await draftOf(result, route.policy.responseMax) : undefined
        made = result
        return draft
      },
    })
    const isMade = answer.kind === 'handled' && answer.by === 'handler'
    return withHeaders((isMade ? made : undefined) ?? responseFrom(answer.response), added)
  }
}

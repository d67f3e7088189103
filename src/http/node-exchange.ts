/**
 * One request over node's `res`: through a handler of its own, or through the middleware behind us, whose response is
 * held back until the outcome is durable. For every framework that gives its handlers node's response.
 */
import type { ServerResponse } from 'node:http'
import { PawlError } from '../core/errors.ts'
import type { CapturedDraft } from '../core/execute.ts'
import type { Header } from '../core/outcome.ts'
import type { HandlerResult, Run } from '../core/run.ts'
import { ResponseCapture } from './capture.ts'
import { type Exchange, handle, type Pawl } from './handle.ts'
import { send, setHeaders } from './node-response.ts'
import type { Route } from './options.ts'
import type { HttpRequest } from './request.ts'

/** A handler that returns its response. */
export type OwnHandler<Req, Tx, Isolation extends string> = (
  req: Req,
  run: Run<Tx, Isolation>,
) => Promise<HandlerResult> | HandlerResult

/** What a framework's file gives. */
export interface NodePassage<Req, Tx, Isolation extends string> {
  readonly native: Req
  readonly request: HttpRequest
  readonly res: ServerResponse
  /** Undefined: the middleware behind us responds. */
  readonly own: OwnHandler<Req, Tx, Isolation> | undefined
  /** Goes on to the next middleware, or to the application's error handling. */
  readonly next: (error?: unknown) => void
}

/** One request on its way through. */
export class NodeExchange<Req, Tx, Isolation extends string> implements Exchange<
  Req,
  Tx,
  Isolation
> {
  readonly native: Req
  readonly request: HttpRequest
  readonly #route: Route<Req>
  readonly #passage: NodePassage<Req, Tx, Isolation>
  #capture: ResponseCapture | undefined
  #settled: (() => void) | undefined

  constructor(route: Route<Req>, passage: NodePassage<Req, Tx, Isolation>) {
    this.native = passage.native
    this.request = passage.request
    this.#route = route
    this.#passage = passage
  }

  /**
   * Answers the request.
   *
   * @throws what is for the application's error handling; the response is as it was before
   */
  async answer(pawl: Pawl<Tx, Isolation>): Promise<void> {
    const { res, own } = this.#passage
    const isRegistered = this.#route.registered !== undefined
    try {
      const answer = await handle(pawl, this.#route, this)
      const isOwn = answer.kind === 'handled' && answer.by === 'handler'
      if (this.#capture !== undefined && isOwn) this.#capture.release()
      else if (this.#capture !== undefined) this.#capture.replaceWith(answer.response)
      else if (own !== undefined || isRegistered || !isOwn) send(res, answer.response)
    } catch (error) {
      this.#capture?.discard()
      throw error
    }
  }

  announce(headers: readonly Header[]): void {
    setHeaders(this.#passage.res, headers)
  }

  async handler(
    run: Run<Tx, Isolation>,
    registered?: (run: Run<Tx, Isolation>) => Promise<HandlerResult> | HandlerResult,
  ): Promise<HandlerResult | CapturedDraft> {
    const { own, native, next } = this.#passage
    if (own === undefined && registered === undefined) return await this.#goOn(run)
    try {
      return await (registered === undefined ? own?.(native, run) : registered(run))
    } catch (error) {
      const isStored = run.protected && this.#route.policy.onError === 'store'
      if (!isStored || PawlError.is(error) || run.recoveryPoint === 'finished') throw error
      // The application's error handler makes the response, and that is what is stored.
      return await this.#hold(() => next(error))
    }
  }

  finished(): void {
    this.#capture?.supersede()
    this.#settled?.()
  }

  /** A request without a record is not held back. */
  async #goOn(run: Run<Tx, Isolation>): Promise<HandlerResult | CapturedDraft> {
    const { res, next } = this.#passage
    const settled = new Promise<void>((resolve) => {
      this.#settled = resolve
    })
    if (run.protected) return await Promise.race([this.#hold(() => next()), settled])
    res.once('close', () => this.#settled?.())
    next()
    await settled
  }

  #hold(goOn: () => void): Promise<CapturedDraft> {
    this.#capture = new ResponseCapture(this.#passage.res, this.#route.policy.responseMax)
    goOn()
    return this.#capture.draft
  }
}

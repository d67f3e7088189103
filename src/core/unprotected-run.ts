/**
 * The run of a request that carries no key and need not, or that must go on without the store: stages are plain
 * transactions, calls get a key that is fresh each time, and nothing is remembered.
 * Conformance 7, 8.
 */
import { asCurrent } from './active-run.ts'
import { backoff, TRIES_MAX } from './ask.ts'
import { type CallWork, timed } from './call.ts'
import type { Engine } from './engine.ts'
import { StageAbortedError } from './errors.ts'
import type { CapturedDraft } from './execute.ts'
import { downstreamKeyOf } from './identity.ts'
import { jsonResult } from './json.ts'
import { type Draft, responseOf, type WholeResponse } from './outcome.ts'
import { FINISHED, STARTED } from './record.ts'
import type { CallOptions, Finished, HandlerResult, Run, StageOptions } from './run.ts'
import { AbortedError } from './store.ts'

/** What is known of such a request. */
export interface UnprotectedRequest {
  readonly operation: string
  readonly scope: string
  /** Why it has no record; announced. */
  readonly why: string
  /** Of a registered operation. */
  readonly version: string | undefined
}

/**
 * Runs a handler without a record. Errors pass through.
 *
 * @param finished - told when `run.finish` has committed, before the handler goes on
 */
export async function executeUnprotected<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  request: UnprotectedRequest,
  handler: (
    run: Run<Tx, Isolation>,
  ) => Promise<HandlerResult | CapturedDraft> | HandlerResult | CapturedDraft,
  finished?: () => void,
): Promise<WholeResponse> {
  engine.announce({ type: 'unprotected', operation: request.operation, why: request.why })
  const run = new UnprotectedRun(engine, request, finished)
  const result = await asCurrent(run, async () => await handler(run))
  return run.response ?? responseOf((result ?? {}) as CapturedDraft)
}

class UnprotectedRun<Tx, Isolation extends string> implements Run<Tx, Isolation> {
  readonly id: string
  readonly key = undefined
  readonly scope: string
  readonly operation: string
  readonly version: string | undefined
  readonly attempt = 1
  readonly resumed = false
  readonly protected = false
  readonly signal: AbortSignal = new AbortController().signal
  recoveryPoint: string = STARTED
  response: WholeResponse | undefined
  readonly #engine: Engine<Tx, Isolation>
  readonly #once: string
  readonly #finished: (() => void) | undefined

  constructor(
    engine: Engine<Tx, Isolation>,
    { operation, scope, version }: UnprotectedRequest,
    finished: (() => void) | undefined,
  ) {
    this.#finished = finished
    this.#engine = engine
    this.#once = engine.runtime.nonce()
    this.id = `ikey_none_${this.#once}`
    this.scope = scope
    this.operation = operation
    this.version = version
  }

  // Properties, so that a handler may take them off the run: `({ stage, finish }) => …`.
  readonly stage = async <T>(
    name: string,
    work: (tx: Tx) => unknown,
    options: StageOptions<Isolation> = {},
  ): Promise<T> => {
    const result = async (tx: Tx) => jsonResult(name, await work(tx))
    const { value } = await this.#transaction(name, result, options)
    this.recoveryPoint = name
    return value as T
  }

  readonly call = async <T>(
    name: string,
    work: CallWork,
    options: CallOptions = {},
  ): Promise<T> => {
    const at = { id: this.id, step: name }
    const key = downstreamKeyOf(this.id, this.#once, name)
    const answer = await timed(this.#engine.runtime, at, key, this.signal, work, options)
    this.recoveryPoint = name
    return jsonResult(name, answer).value as T
  }

  readonly finish = async (
    work: (tx: Tx) => Promise<Draft> | Draft,
    options: StageOptions<Isolation> = {},
  ): Promise<Finished> => {
    const respond = async (tx: Tx) => responseOf(await work(tx))
    this.response = await this.#transaction(FINISHED, respond, options)
    this.recoveryPoint = FINISHED
    this.#finished?.()
    return {} as Finished
  }

  async #transaction<R>(
    step: string,
    work: (tx: Tx) => Promise<R>,
    { isolation }: StageOptions<Isolation>,
  ): Promise<R> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#engine.store.transaction({ isolation }, work)
      } catch (error) {
        if (!(error instanceof AbortedError)) throw error
        if (tries >= TRIES_MAX) throw new StageAbortedError({ step, tries }, error.cause)
        await backoff(this.#engine.runtime, tries)
      }
    }
  }
}

/**
 * The run of a request that carries no key and need not, or that must go on without the store: stages are plain
 * transactions, calls get a key that is fresh each time, and nothing is remembered.
 * Conformance 7, 8.
 */
import { asCurrent } from './active-run.ts'
import { timed } from './call.ts'
import { backoff, TRIES_MAX } from './ask.ts'
import type { Engine } from './engine.ts'
import { StageAbortedError } from './errors.ts'
import { AbortedError } from './store.ts'
import { downstreamKeyOf } from './identity.ts'
import { jsonResult } from './json.ts'
import { responseOf, type WholeResponse } from './outcome.ts'
import type { CapturedDraft } from './execute.ts'
import { FINISHED, STARTED } from './record.ts'
import type { CallOptions, Finished, HandlerResult, Run, StageOptions } from './run.ts'

/** Runs a handler without a record. Errors pass through. */
export async function executeUnprotected<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  request: { readonly operation: string; readonly scope: string; readonly why: string },
  handler: (
    run: Run<Tx, Isolation>,
  ) => Promise<HandlerResult | CapturedDraft> | HandlerResult | CapturedDraft,
): Promise<WholeResponse> {
  const { operation, scope, why } = request
  engine.announce({ type: 'unprotected', operation, why })
  const once = engine.runtime.nonce()
  const { signal } = new AbortController()
  let recoveryPoint = STARTED
  let response: WholeResponse | undefined
  const transaction = async <R>(
    step: string,
    work: (tx: Tx) => Promise<R>,
    options: StageOptions<Isolation>,
  ): Promise<R> => {
    for (let tries = 1; ; tries++) {
      try {
        return await engine.store.transaction({ isolation: options.isolation }, work)
      } catch (error) {
        if (!(error instanceof AbortedError)) throw error
        if (tries >= TRIES_MAX) throw new StageAbortedError({ step, tries }, error.cause)
        await backoff(engine.runtime, tries)
      }
    }
  }
  const run: Run<Tx, Isolation> = {
    id: `ikey_none_${once}`,
    key: undefined,
    scope,
    operation,
    attempt: 1,
    resumed: false,
    protected: false,
    signal,
    get recoveryPoint() {
      return recoveryPoint
    },
    stage: async <T>(
      name: string,
      work: (tx: Tx) => unknown,
      options: StageOptions<Isolation> = {},
    ): Promise<T> => {
      const { value } = await transaction(
        name,
        async (tx) => jsonResult(name, await work(tx)),
        options,
      )
      recoveryPoint = name
      return value as T
    },
    call: async <T>(
      name: string,
      work: Parameters<typeof timed>[4],
      options: CallOptions = {},
    ): Promise<T> => {
      const key = downstreamKeyOf(run.id, once, name)
      const answer = await timed(
        engine.runtime,
        { id: run.id, step: name },
        key,
        signal,
        work,
        options,
      )
      recoveryPoint = name
      return jsonResult(name, answer).value as T
    },
    finish: async (work, options = {}): Promise<Finished> => {
      response = await transaction(FINISHED, async (tx) => responseOf(await work(tx)), options)
      recoveryPoint = FINISHED
      return {} as Finished
    },
  }
  const result = await asCurrent(run, async () => await handler(run))
  return response ?? responseOf((result ?? {}) as CapturedDraft)
}

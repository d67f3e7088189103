/**
 * The API that the lanes of real processes and real databases ask: one route, whose registered operation books a ride
 * (stage), charges a card (call) and writes a receipt (finish), on any store.
 */
import { randomUUID } from 'node:crypto'
import { idempotent } from '../../src/frameworks/fetch.ts'
import {
  createIdempotency,
  type Idempotency,
  type PawlEvent,
  PawlError,
  type Run,
  type Runtime,
  type Store,
} from '../../src/index.ts'

export const OPERATION = 'book-ride'
/** The stages that leave an effect, in their order. */
export const STAGES = ['booked', 'receipt'] as const
export const CALL = 'charged'

/** The shortest grace there is: a completer looks at what was claimed so long ago. */
export const GRACE_MS = 1_000

/** A row of the effects. No constraint of the table would stop a second one. */
export interface Effect {
  readonly key: string
  readonly stage: string
  readonly attempt: number
  /** Drawn at random in each execution: a stage that ran twice shows in the bytes. */
  readonly note: string
}

/** A request to the called system. */
export interface Charge {
  readonly key: string
  readonly downstreamKey: string
  readonly attempt: number
}

/** Where the handler stands, told while it stands there. */
export type Place = (typeof STAGES)[number] | typeof CALL

/** What a ride asks for beside itself. */
export interface RideInput {
  readonly key: string
  /** False: the call is never sent twice. */
  readonly repeatable: boolean
}

/** How an API is made. */
export interface RidesOptions<Tx> {
  readonly store: Store<Tx>
  /** Inserts a row on the transaction of a stage. */
  readonly insert: (tx: Tx, effect: Effect) => Promise<unknown>
  /** False: the handler makes no call, and is two transactions. */
  readonly calls?: boolean
  /** Awaited in the call; what the called system does. */
  readonly charge?: (charge: Charge) => Promise<unknown>
  /** Awaited in each step, last of all: inside its transaction, where it has one. */
  readonly inside?: (place: Place, key: string, tx: Tx | undefined) => Promise<void>
  /** Awaited between two steps. */
  readonly between?: (key: string) => Promise<void>
  readonly isolation?: string
  readonly leaseMs: number
  readonly storeTimeoutMs?: number
  readonly retentionMs?: number
  /** How long one attempt is renewed at most. */
  readonly attemptMaxMs?: number
  readonly runtime?: Runtime
  readonly onEvent?: (event: PawlEvent) => void
  /** What a resolver is told of a downstream key: done, never, or nothing known. */
  readonly resolve?: (downstreamKey: string, key: string) => Promise<'done' | 'never' | 'unknown'>
}

/** What a client got. */
export type Reply =
  | {
      readonly kind: 'answer'
      readonly status: number
      /** The code of a problem. */
      readonly code: string | undefined
      readonly replayed: boolean
      readonly body: string
    }
  /** The handler's or Pawl's error went through to the framework. `code`: it is one of Pawl's. */
  | { readonly kind: 'threw'; readonly what: string; readonly code: string | undefined }
  /** The process died, or the connection to it. */
  | { readonly kind: 'lost' }

/** One API, in this process. */
export interface Rides<Tx = unknown> {
  ask(key: string, options?: { readonly repeatable?: boolean }): Promise<Reply>
  readonly idempotency: Idempotency<Tx>
}

const URL = 'http://rides.test/rides'
/** A completer's turns are counted also where it was killed in the middle of one: no record may be given up for that. */
const TURNS_MAX = 1_000

/** @throws an option cannot be used */
export function createRides<Tx>(options: RidesOptions<Tx>): Rides<Tx> {
  const { store, leaseMs, storeTimeoutMs = 5_000, retentionMs, attemptMaxMs } = options
  const { runtime, onEvent } = options
  const idempotency = createIdempotency<Tx, string>({
    store,
    lease: `${leaseMs}ms`,
    storeTimeout: `${storeTimeoutMs}ms`,
    ...(attemptMaxMs === undefined ? {} : { attemptMax: `${attemptMaxMs}ms` as const }),
    ...(runtime === undefined ? {} : { runtime }),
    ...(onEvent === undefined ? {} : { onEvent }),
  })
  const operation = operationOf(idempotency, options, retentionMs)
  const route = idempotent(idempotency, {
    operation,
    scope: () => 'rides',
    input: async (request) => (await request.clone().json()) as never,
  })
  return {
    idempotency,
    ask: async (key, { repeatable = true } = {}) => {
      const request = new Request(URL, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': key },
        body: JSON.stringify({ key, repeatable }),
      })
      try {
        return await replyOf(await route(request))
      } catch (error) {
        return thrownOf(error)
      }
    },
  }
}

function operationOf<Tx>(
  idempotency: Idempotency<Tx>,
  options: RidesOptions<Tx>,
  retentionMs: number | undefined,
) {
  const { leaseMs, insert, calls = true, charge, inside, between, isolation, resolve } = options
  const at = isolation === undefined ? {} : { isolation }
  return idempotency.operation<never>(OPERATION, {
    grace: `${Math.max(GRACE_MS, leaseMs)}ms`,
    maxAttempts: TURNS_MAX,
    ...(retentionMs === undefined ? {} : { retention: `${retentionMs}ms` }),
    ...(resolve === undefined
      ? {}
      : {
          resolvers: {
            [CALL]: async ({
              idempotencyKey,
              input,
            }: {
              idempotencyKey: string
              input: RideInput
            }) => {
              const kind = await resolve(idempotencyKey, input.key)
              return kind === 'done' ? { kind, result: idempotencyKey } : { kind }
            },
          },
        }),
    handler: async ({ key, repeatable }: RideInput, over) => {
      const run = over as Run<Tx, string> // Whatever the store, it has stages.
      const { attempt } = run
      const effect = async (tx: Tx, stage: Place): Promise<string> => {
        const note = `${stage}-${randomUUID()}`
        await insert(tx, { key, stage, attempt, note })
        await inside?.(stage, key, tx)
        return note
      }
      const booked = await run.stage('booked', (tx) => effect(tx, 'booked'), at)
      await between?.(key)
      const call = (): Promise<string> =>
        run.call(
          CALL,
          async ({ idempotencyKey: downstreamKey }) => {
            await charge?.({ key, downstreamKey, attempt })
            await inside?.(CALL, key, undefined)
            return downstreamKey
          },
          { repeatable },
        )
      const charged = calls ? await call() : 'nobody'
      if (calls) await between?.(key)
      return await run.finish(
        async (tx) => ({
          status: 201,
          body: { key, charged, notes: [booked, await effect(tx, 'receipt')] },
        }),
        at,
      )
    },
  })
}

async function replyOf(response: Response): Promise<Reply> {
  const { status, headers } = response
  const body = await response.text()
  const isProblem = headers.get('content-type')?.startsWith('application/problem+json') === true
  return {
    kind: 'answer',
    status,
    code: isProblem ? (JSON.parse(body) as { code: string }).code : undefined,
    replayed: headers.get('idempotent-replayed') === 'true',
    body,
  }
}

function thrownOf(error: unknown): Reply {
  return {
    kind: 'threw',
    what: String(error),
    code: PawlError.is(error) ? error.code : undefined,
  }
}

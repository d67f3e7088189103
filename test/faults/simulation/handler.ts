/**
 * The operation of the simulation, in two versions that serve side by side: two stages, a call that may be repeated, one
 * that may not, and the finish. Between any two of them it may wait, throw, or be the last that its process does.
 */
import type { OperationDefinition } from '../../../src/core/operation.ts'
import type { Run } from '../../../src/core/run.ts'
import type { CheckRules } from '../checker.ts'
import type { Mix } from './mix.ts'
import type { SimulatedTx } from './network.ts'
import type { Sending } from './provider.ts'

/** The name of the operation. */
export const OPERATION = 'book'

/** What a client asks for. */
export interface Asked {
  readonly [name: string]: string
  readonly scope: string
  readonly fingerprint: string
}

/** What a handler does to its surroundings. */
export interface Surroundings {
  readonly mix: Mix
  /** The attempt goes on after a while, or throws. */
  step(): Promise<void>
  /** Something of its own in every response. */
  token(): string
  executionOf(id: string, attempt: number): string | undefined
  now(): number
  send(sending: Sending, begunAt: number): Promise<string>
  lookUp(downstreamKey: string): Promise<'never' | { readonly answer: string } | undefined>
}

/** The names of the steps in each version. */
const NAMES = {
  1: { reserved: 'reserved', charge: 'charge', booked: 'booked', tell: 'tell' },
  2: { reserved: 'reserved', charge: 'card_charged', booked: 'booked', tell: 'told' },
} as const

/** The version of a process. */
export type Version = keyof typeof NAMES

/** What a request that ended well has left. */
export function rulesOf({ finishes, resolves, maxAttempts }: Mix): Omit<CheckRules, 'recoveryMs'> {
  return {
    effects: finishes ? ['reserved', 'booked', 'finish'] : ['reserved', 'booked'],
    calls: ['charge', 'tell'],
    terminal: [
      ...(resolves ? [] : (['unknown'] as const)),
      ...(maxAttempts < 1_000 ? (['failed'] as const) : []),
    ],
  }
}

/** The operation of a process. */
export function operationOf(
  version: Version,
  around: Surroundings,
): OperationDefinition<Asked, SimulatedTx, never> {
  const { mix } = around
  const names = NAMES[version]
  const { charge, tell } = NAMES[1]
  const renamed = {
    '1': { [charge]: NAMES[2].charge, [tell]: NAMES[2].tell },
  }
  return {
    version: String(version),
    ...(version === 2 && { renamed }),
    retention: mix.retentionMs,
    onError: mix.onError,
    inProgress: { wait: mix.waitMs },
    grace: mix.graceMs,
    maxAttempts: mix.maxAttempts,
    ...(mix.resolves && {
      resolvers: {
        [names.tell]: async ({ idempotencyKey }) => {
          const found = await around.lookUp(idempotencyKey)
          if (found === undefined) return { kind: 'unknown' }
          return found === 'never' ? { kind: 'never' } : { kind: 'done', result: found.answer }
        },
      },
    }),
    handler: (input, run) => handle(input, run, names, around),
  }
}

async function handle(
  input: Asked,
  run: Run<SimulatedTx, never>,
  names: (typeof NAMES)[Version],
  around: Surroundings,
) {
  const { id } = run
  const execution = around.executionOf(id, run.attempt)
  const begunAt = around.now()
  const seat = await run.stage(names.reserved, async (tx) => {
    await tx.effect('reserved')
    await around.step()
    return around.token()
  })
  await around.step()
  const charge = await run.call(names.charge, ({ idempotencyKey: downstreamKey }) =>
    around.send({ id, execution, call: 'charge', downstreamKey, repeatable: true }, begunAt),
  )
  await around.step()
  const told = await run.call(
    names.tell,
    ({ idempotencyKey: downstreamKey }) =>
      around.send({ id, execution, call: 'tell', downstreamKey, repeatable: false }, begunAt),
    { repeatable: false, timeout: around.mix.leaseMs * 2 },
  )
  await around.step()
  await run.stage(names.booked, async (tx) => {
    await tx.effect('booked')
    await around.step()
  })
  await around.step()
  const response = (): { status: number; body: Record<string, string> } => ({
    status: 201,
    body: { ...input, seat, charge, told, token: around.token() },
  })
  if (!around.mix.finishes) return response()
  return await run.finish(async (tx) => {
    await tx.effect('finish')
    await around.step()
    return response()
  })
}

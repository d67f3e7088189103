/**
 * The completer: finishes abandoned requests of registered operations without their client. Any number may run, beside
 * the API and each other: the backlog spreads them over the records, and the ordinary claim lets one of them work.
 */
import { within } from '../core/ask.ts'
import { type Backoff, complete, type Completion, type Turn } from '../core/complete.ts'
import { type Duration, milliseconds } from '../core/duration.ts'
import type { Engine } from '../core/engine.ts'
import { ConfigError } from '../core/errors.ts'
import type { Idempotency, Operation } from '../core/idempotency.ts'
import type { Registered } from '../core/operation.ts'
import type { Backlog, DueRecord } from '../core/store.ts'
import { everyMs, summed, type Worker, workerOf } from './worker.ts'

const CONCURRENCY_MAX = 256
const BACKOFF = { min: 10, max: 7 * 86_400_000 }
/** For so many leases others leave alone an entry that is looked at: by then its attempt is renewed, or over. */
const AGAIN_LEASES = 3

/** How a completer works. */
export interface CompleterOptions {
  /** Those of this idempotency that it completes; all of them by default. */
  readonly operations?: readonly Operation<never>[]
  /** How long it rests when nothing is due; `'5s'` by default, give or take half. */
  readonly every?: Duration
  /** Requests it works on at a time; 4 by default. Each takes connections as a request of a client does. */
  readonly concurrency?: number
  /** Between attempts: the first pause, doubled each time up to `max`; `'5s'` and `'10m'` by default, with jitter. */
  readonly backoff?: { readonly first?: Duration; readonly max?: Duration }
}

/** How often each thing came of a turn. */
export type CompleterReport = Readonly<Record<Completion, number>>

const NONE: CompleterReport = { finished: 0, passed_by: 0, unknown: 0, put_off: 0, failed: 0 }

/**
 * Makes a completer.
 *
 * @throws {@link ConfigError} an option cannot be used, nothing is registered, or the store keeps no backlog
 */
export function createCompleter<Tx, Isolation extends string>(
  { engine }: Idempotency<Tx, Isolation>,
  options: CompleterOptions = {},
): Worker<CompleterReport> {
  const { backlog } = engine.store
  if (backlog === undefined) {
    throw new ConfigError(
      'createCompleter: this store keeps responses alone, and no input to go on with. Use the store of a database, ' +
        'for example pgStore(pool).',
    )
  }
  const operations = operationsOf(engine, options.operations)
  const concurrency = whole('concurrency', options.concurrency ?? 4, CONCURRENCY_MAX)
  const turn = {
    engine,
    backlog,
    backoff: backoffOf(options),
    againMs: engine.leaseMs * AGAIN_LEASES,
  }
  return workerOf(engine, {
    name: 'completer',
    everyMs: everyMs(options.every ?? '5s'),
    none: NONE,
    add: summed,
    pass: async (isStopping) => {
      const isOver = (): boolean => isStopping() || engine.inflight.state !== 'open'
      const turns = operations.map((registered) => ({ ...turn, registered }))
      return { report: await pass(turns, concurrency, isOver), more: false }
    },
  })
}

/** One that is due, and how to go on with it. */
interface Work<Tx, Isolation extends string> {
  readonly turn: Turn<Tx, Isolation>
  readonly due: DueRecord
}

/**
 * Until nothing of any operation is due. No more is taken than is begun at once, so that what was taken is not due
 * again before its turn; operations come one after another, so that one with much to do does not keep others
 * waiting.
 */
async function pass<Tx, Isolation extends string>(
  turns: readonly Turn<Tx, Isolation>[],
  concurrency: number,
  isOver: () => boolean,
): Promise<CompleterReport> {
  const open = [...turns]
  const taken: Work<Tx, Isolation>[] = []
  let report = NONE
  let free = concurrency
  const take = async (): Promise<Work<Tx, Isolation> | undefined> => {
    while (taken.length === 0 && !isOver()) {
      const turn = open.shift()
      if (turn === undefined) break
      const limit = Math.max(1, free)
      const { seen, records } = await dueOf(turn, limit)
      taken.push(...records.map((due) => ({ turn, due })))
      if (seen === limit) open.push(turn)
    }
    return isOver() ? undefined : taken.shift()
  }
  // One asks at a time: the others share what it finds.
  let asking: Promise<unknown> = Promise.resolve()
  const next = (): Promise<Work<Tx, Isolation> | undefined> => {
    const asked = asking.then(take)
    asking = asked.catch(() => undefined)
    return asked
  }
  const slot = async (): Promise<void> => {
    for (let work = await next(); work !== undefined; work = await next()) {
      free--
      const completion = await completed(work)
      free++
      if (completion !== undefined) report = summed(report, { ...NONE, [completion]: 1 })
    }
  }
  const slots = await Promise.allSettled(Array.from({ length: concurrency }, slot))
  // Behind the last of them: what is under way belongs to this pass, and stop() waits for it.
  for (const one of slots) if (one.status === 'rejected') throw one.reason
  return report
}

/** Not asked again when it stays unanswered: a second question would put off what nobody works on. */
async function dueOf<Tx, Isolation extends string>(
  { engine, backlog, registered, againMs }: Turn<Tx, Isolation>,
  limit: number,
): ReturnType<Backlog['due']> {
  const answer = backlog.due(registered.name, limit, againMs)
  return await within(engine, 'looking for abandoned requests', engine.storeTimeoutMs, answer)
}

/** One record that cannot be worked on is no reason to leave the others. */
async function completed<Tx, Isolation extends string>({
  turn,
  due,
}: Work<Tx, Isolation>): Promise<Completion | undefined> {
  try {
    return await complete(turn, due)
  } catch (error) {
    const { id, operation, attempt } = due.record
    turn.engine.announce({ type: 'completer_failed', id, operation, attempt, error })
    return undefined
  }
}

function operationsOf<Tx, Isolation extends string>(
  { operations }: Engine<Tx, Isolation>,
  asked: CompleterOptions['operations'],
): readonly Registered<Tx, Isolation>[] {
  const registered = operations as ReadonlyMap<string, Registered<Tx, Isolation>>
  const found = asked?.map(({ name }) => {
    const operation = registered.get(name)
    if (operation !== undefined) return operation
    throw new ConfigError(
      `operations: "${name}" was not registered with this idempotency; use one createIdempotency() for both.`,
    )
  }) ?? [...registered.values()]
  if (found.length > 0) return found
  throw new ConfigError(
    'createCompleter: no operation is registered; call idempotency.operation(name, { handler }) before.',
  )
}

function backoffOf({ backoff = {} }: CompleterOptions): Backoff {
  const firstMs = milliseconds('backoff.first', backoff.first ?? '5s', BACKOFF)
  const maxMs = milliseconds('backoff.max', backoff.max ?? '10m', BACKOFF)
  if (firstMs <= maxMs) return { firstMs, maxMs }
  throw new ConfigError(`backoff: first (${firstMs} ms) is longer than max (${maxMs} ms).`)
}

function whole(option: string, given: number, max: number): number {
  if (Number.isInteger(given) && given >= 1 && given <= max) return given
  throw new ConfigError(`${option}: expected an integer from 1 to ${max}, got ${String(given)}.`)
}

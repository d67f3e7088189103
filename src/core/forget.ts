/**
 * What is forgotten on purpose: one record, or all that is stored for a scope. Both are compare-and-sets of records
 * that nobody works on; what is done keeps saying so, by a tombstone, or is new again.
 * Protocol: docs/internals/protocol.md#forgetting. Decisions: ADR 0027.
 */
import { ask } from './ask.ts'
import { type Duration, milliseconds } from './duration.ts'
import type { Engine } from './engine.ts'
import { ConfigError, RecordNotFoundError, RecordStateError } from './errors.ts'
import { scopeText } from './identity.ts'
import { TOMBSTONES } from './policy.ts'
import type { WholeRecord } from './record.ts'

const BATCH_MAX = 10_000

/** How a scope is purged. */
export interface PurgeOptions {
  /**
   * How long a retry of what is erased is still told that it was done, so that it is not executed again; `'30d'` by
   * default, 1 minute to 10 years. Longer than the longest retention, and than clients retry.
   */
  readonly tombstones?: Duration
  /** Records it looks at in one statement; 1,000 by default. */
  readonly batch?: number
}

/** What a purge did. */
export interface PurgeReport {
  /** Records of which nothing is left but their ids. */
  readonly erased: number
  /** Records of the scope that somebody worked on. Purge again when they are done: this one did not wait. */
  readonly left: number
}

/**
 * Deletes one record, as it stands.
 *
 * @param evenIfStarted - also one that has begun and is not finished: what is recorded of it is then repeated
 * @returns `moved`: it changed meanwhile, and is still there
 */
export async function forget<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  id: string,
  evenIfStarted: boolean,
): Promise<'done' | 'moved'> {
  const { store } = engine
  const drop = (): void => engine.outcomes?.drop([id])
  // Also what another process has forgotten already.
  drop()
  const find = () => ask(engine, 'looking at a record', () => store.find(id))
  const record = await find()
  if (record === undefined) throw new RecordNotFoundError(id)
  checkForgettable(record, evenIfStarted)
  const { operation, attempt, revision, state } = record
  const isDone = await ask(engine, 'forgetting a record', () =>
    store.forget({ id, attempt, revision, state }).finally(drop),
  )
  // It may be gone by a first try, whose answer was lost.
  if (!isDone && (await find()) !== undefined) return 'moved'
  engine.announce({ type: 'forgotten', id, operation, attempt })
  return 'done'
}

function checkForgettable({ id, state, leaseLeftMs, stages }: WholeRecord, even: boolean): void {
  if (state === 'running' && leaseLeftMs > 0) {
    throw new RecordStateError({
      id,
      state: 'worked on',
      wanted: 'held by nobody',
      remedy: 'wait until its attempt ends, or stop that process and wait until its lease lapses',
    })
  }
  if (state !== 'finished' && stages.size > 0 && !even) {
    throw new RecordStateError({
      id,
      state: `${state}, with steps recorded`,
      wanted: 'finished, or has not begun',
      remedy: 'let it be finished, or say evenIfStarted: true where its effects may be repeated',
    })
  }
}

/** Erases all that is stored for a scope but the ids, in batches. */
export async function purge<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  given: string | readonly string[],
  { tombstones = '30d', batch = 1_000 }: PurgeOptions,
): Promise<PurgeReport> {
  const { store } = engine
  const scope = scopeText(given)
  if (scope === undefined) {
    throw new ConfigError(
      'purgeScope: expected a scope as a request gives it: a non-empty string, or a list of them, at most 1,024 ' +
        'characters together.',
    )
  }
  const tombstoneMs = milliseconds('tombstones', tombstones, TOMBSTONES)
  if (!Number.isInteger(batch) || batch < 1 || batch > BATCH_MAX)
    throw new ConfigError(`batch: expected an integer from 1 to ${BATCH_MAX}, got ${batch}.`)
  if (store.erase === undefined) {
    throw new ConfigError(
      'purgeScope: this store cannot be looked through by scope. Redis forgets outcomes by itself when their ' +
        'retention is over; single records go with forget(id).',
    )
  }
  const erase = store.erase.bind(store)
  // Also what another process has erased already: a tombstone does not tell its scope.
  engine.outcomes?.dropScope(scope)
  let [erased, left] = [0, 0]
  for (let after: string | undefined = ''; after !== undefined;) {
    const behind: string = after
    const next = await ask(engine, 'erasing', () => {
      const looked: string[] = []
      const drop = (): void => engine.outcomes?.drop(looked)
      const found = async (ids: readonly string[]): Promise<void> => {
        looked.push(...ids)
        drop()
      }
      // Each try for itself: one may be answered when nobody waits for it any more.
      return erase({ scope, tombstoneMs, after: behind, limit: batch, found }).finally(drop)
    })
    erased += next.ids.length
    left += next.left
    after = next.after
  }
  engine.announce({ type: 'purged', erased, left })
  return { erased, left }
}

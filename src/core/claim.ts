/**
 * Step 1, Claim: become the one who works on a record, or learn what stands there. Safe because the insert and every
 * takeover are single autocommit statements with a predicate, and because a claim carries a nonce by which it knows
 * itself when its acknowledgement was lost.
 * Protocol: docs/internals/protocol.md#claim. Conformance 19, 20, 26–29, 32, 35, 38, 44.
 */
import { ask, backoff, sleep } from './ask.ts'
import type { Engine } from './engine.ts'
import { StoreUnavailableError, VersionUnknownError } from './errors.ts'
import type { Fingerprint } from './fingerprint.ts'
import { invariant } from './invariant.ts'
import type { Registered } from './operation.ts'
import type { Outcome } from './outcome.ts'
import type { Remembered } from './outcome-cache.ts'
import type { Policy } from './policy.ts'
import { resolveUnknown } from './resolver.ts'
import { decide, type FoundRecord, sentCall, type Stages, STARTED } from './record.ts'
import type { ClaimInput, ClaimReply, Hold } from './store.ts'

/** Looks at a record that moves under us. Each round needs somebody else's success, so it is never near. */
const ROUNDS_MAX = 20
/** How many rounds a lapsed record may be locked by somebody before it counts as in progress. */
const LOCKED_ROUNDS_MAX = 3
/** How often a resolver is asked for one claim: it may be raced by others'. */
const RESOLUTIONS_MAX = 3
const LOCKED_RETRY_MS = 1_000
const ALIVE_RETRY_MS = 1_000
const POLL_FIRST_MS = 25
const POLL_MAX_MS = 500

/** One request for a claim. */
export interface ClaimRequest<Tx, Isolation extends string> {
  /** The digest of the three that follow. */
  readonly id: string
  readonly operation: string
  readonly scope: string
  readonly key: string
  readonly fingerprint: Fingerprint
  /** What it was made of, where that is one text. */
  readonly asked?: string
  readonly method?: string | undefined
  readonly path?: string | undefined
  readonly policy: Policy
  /** Of a registered operation. */
  readonly work?: Work<Tx, Isolation> | undefined
}

/** What a registered operation brings to a claim. */
export interface Work<Tx, Isolation extends string> {
  readonly registered: Registered<Tx, Isolation>
  readonly input: unknown
  /** Stored by a claim that begins the record. */
  readonly task: ClaimInput['task']
  /** Of a completer: only this execution is gone on with, for its input is that of no other, and nothing is begun. */
  readonly execution?: string
}

/** What came of it. */
export type ClaimResult =
  | {
      readonly kind: 'claimed'
      readonly hold: Hold
      readonly execution: string
      readonly recoveryPoint: string
      readonly revision: number
      readonly stages: Stages
      readonly resumed: boolean
      readonly version: string | undefined
    }
  | { readonly kind: 'finished'; readonly id: string; readonly outcome: Outcome }
  | { readonly kind: 'in_progress'; readonly id: string; readonly retryAfterMs: number }
  | { readonly kind: 'mismatch'; readonly id: string }
  | { readonly kind: 'unknown'; readonly id: string }
  | { readonly kind: 'failed'; readonly id: string }
  /** There was nothing to go on with. */
  | { readonly kind: 'gone'; readonly id: string }

/**
 * Claims the record of a request, waiting for a live lease as long as the policy says. No connection is held meanwhile.
 *
 * @throws {@link StoreUnavailableError} no answer; nothing ran, and the same request may be sent again
 */
export function claim<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  request: ClaimRequest<Tx, Isolation>,
): Promise<ClaimResult> {
  const known = remembered(engine, request)
  return known === undefined ? claimInStore(engine, request) : Promise.resolve(known)
}

async function claimInStore<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  request: ClaimRequest<Tx, Isolation>,
): Promise<ClaimResult> {
  const input = inputOf(engine, request)
  const waitUntil = engine.runtime.now() + request.policy.waitMs
  let polls = 0
  let lockedRounds = 0
  let resolutions = 0
  const { id } = input
  if (engine.failpoint) await engine.failpoint('claim.before', { id: input.id, attempt: 0 })
  for (let round = 1; round <= ROUNDS_MAX; round++) {
    const drops = engine.outcomes?.drops ?? 0
    const reply = await lookOrClaim(engine, request, input)
    if (reply.kind === 'gone') return { kind: 'gone', id }
    if (reply.kind === 'inserted') return claimed(engine, request, input, 1, reply.execution)
    if (reply.kind === 'nothing') {
      await backoff(engine.runtime, Math.min(round, 4))
      continue
    }
    const { record } = reply
    invariant(record.id === id, 'a claim finds its own record', { id })
    const decision = decide(record, input.owner, request.fingerprint)
    switch (decision.kind) {
      case 'replay':
        engine.outcomes?.remember(rememberedOf(request, record), drops)
        return { kind: 'finished', id, outcome: decision.outcome }
      case 'mismatch':
        return { kind: 'mismatch', id }
      case 'unknown':
        mustKnow(request, record)
        // Moved: somebody else has decided.
        if (resolutions++ < RESOLUTIONS_MAX && (await resolution(engine, request, record))) continue
        return { kind: 'unknown', id }
      case 'failed':
        return { kind: 'failed', id }
      case 'own':
        return claimed(engine, request, input, record.attempt, record.execution, record)
      case 'in_progress': {
        const left = waitUntil - engine.runtime.now()
        const { leaseLeftMs } = decision
        if (left <= 0 || engine.inflight.state !== 'open')
          return { kind: 'in_progress', id, retryAfterMs: soonest(engine, leaseLeftMs) }
        await sleep(engine.runtime, Math.min(left, leaseLeftMs + 1, pollMs(engine, polls++)))
        round = 0
        continue
      }
      case 'mark_unknown':
        await ask(engine, 'stopping a record', () => engine.store.stop(record, 'unknown'))
        continue
      case 'reset':
      case 'take_over': {
        if (decision.kind === 'take_over') mustKnow(request, record)
        const taken = await take(engine, request, input, record, decision.kind)
        if (taken !== undefined)
          return claimed(engine, request, input, taken.attempt, taken.execution, taken)
        lockedRounds++
        if (lockedRounds > LOCKED_ROUNDS_MAX && engine.runtime.now() >= waitUntil)
          return { kind: 'in_progress', id, retryAfterMs: LOCKED_RETRY_MS }
        await backoff(engine.runtime, lockedRounds)
        continue
      }
    }
  }
  throw new StoreUnavailableError(
    `claiming (it changed ${ROUNDS_MAX} times while it was looked at)`,
    undefined,
    input.id,
  )
}

/**
 * Asks for a record. A question that is given up may still be executed, when nobody works for it any more: then the
 * record is given back, or the next request would wait out a lease for nothing.
 */
function askFor<Tx, Isolation extends string, R>(
  engine: Engine<Tx, Isolation>,
  doing: string,
  question: () => Promise<R>,
  takenBy: (reply: R) => Hold | undefined,
): Promise<R> {
  return ask(engine, doing, question, async (late) => {
    const hold = takenBy(late)
    if (hold === undefined) return
    await ask(engine, 'giving a record back', () => engine.store.write(hold, { kind: 'release' }))
  })
}

function askToClaim<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  input: ClaimInput,
): Promise<ClaimReply> {
  const { id, owner } = input
  return askFor(
    engine,
    'claiming',
    () => engine.store.claim(input),
    ({ kind }) => (kind === 'inserted' ? { id, owner, attempt: 1 } : undefined),
  )
}

function inputOf<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  request: ClaimRequest<Tx, Isolation>,
): ClaimInput {
  return {
    id: request.id,
    scope: request.scope,
    operation: request.operation,
    key: request.key,
    fingerprint: request.fingerprint.value,
    owner: engine.runtime.nonce(),
    method: request.method,
    path: request.path,
    leaseMs: engine.leaseMs,
    retentionMs: request.policy.retentionMs,
    task: request.work?.task,
  }
}

/** @throws {@link VersionUnknownError} nobody here knows what the record's names mean */
function mustKnow<Tx, Isolation extends string>(
  { work, operation }: ClaimRequest<Tx, Isolation>,
  { id, version }: FoundRecord,
): void {
  if (version === undefined || work === undefined || work.registered.knows(version)) return
  throw new VersionUnknownError({ id, operation, version })
}

/** Whether it is worth looking at an unknown record again. */
async function resolution<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  { work }: ClaimRequest<Tx, Isolation>,
  record: FoundRecord,
): Promise<boolean> {
  if (work === undefined) return false
  return (await resolveUnknown(engine, work.registered, record, work.input)) !== 'unknown'
}

/** What this process knows without the store. A completer asks of one execution, and must know. */
function remembered<Tx, Isolation extends string>(
  { outcomes }: Engine<Tx, Isolation>,
  { id, fingerprint, work }: ClaimRequest<Tx, Isolation>,
): ClaimResult | undefined {
  const known = work?.execution === undefined ? outcomes?.get(id) : undefined
  if (known === undefined) return undefined
  return fingerprint.matches(known.fingerprint)
    ? { kind: 'finished', id, outcome: known.outcome }
    : { kind: 'mismatch', id }
}

function rememberedOf<Tx, Isolation extends string>(
  request: ClaimRequest<Tx, Isolation>,
  record: FoundRecord,
): Remembered {
  const { scope, operation, key, policy, asked } = request
  const { retentionMs } = policy
  return { identity: { scope, operation, key }, record, retentionMs, asked }
}

/** A completer looks instead of claiming: what it would begin, nobody has asked for. */
function lookOrClaim<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  { id, work }: ClaimRequest<Tx, Isolation>,
  input: ClaimInput,
): Promise<ClaimReply | { readonly kind: 'gone' }> {
  return work?.execution === undefined
    ? askToClaim(engine, input)
    : look(engine, id, work.execution)
}

async function look<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  id: string,
  execution: string,
): Promise<ClaimReply | { readonly kind: 'gone' }> {
  const record = await ask(engine, 'looking at a record', () => engine.store.find(id))
  const isOver = record?.state === 'finished' && record.expired
  if (record?.execution !== execution || isOver) return { kind: 'gone' }
  return { kind: 'found', record }
}

async function take<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  request: ClaimRequest<Tx, Isolation>,
  input: ClaimInput,
  seen: FoundRecord,
  how: 'take_over' | 'reset',
): Promise<FoundRecord | undefined> {
  const { id, owner } = input
  const { attempt, revision } = seen
  const taking = { id, owner, attempt, revision, leaseMs: engine.leaseMs }
  const taken = await askFor(
    engine,
    how === 'take_over' ? 'taking over' : 'starting anew',
    () =>
      how === 'take_over'
        ? engine.store.takeOver(taking)
        : engine.store.reset({ ...input, ...taking }),
    (late) => late && { id, owner, attempt: late.attempt },
  )
  if (taken === undefined) return undefined
  invariant(taken.attempt > seen.attempt, 'attempts only grow', {
    id: input.id,
    attempt: taken.attempt,
  })
  invariant(taken.owner === input.owner, 'a takeover is ours', { id: input.id })
  invariant(sentCall(taken.stages) === undefined, 'what is taken over is as it was seen', {
    id: input.id,
  })
  if (engine.failpoint)
    await engine.failpoint('take_over.after', { id: input.id, attempt: taken.attempt })
  // A released record was given back by somebody alive; only a lapsed lease is a sign of trouble.
  if (how === 'take_over' && seen.owner !== undefined) {
    const { operation } = request
    const { attempt, recoveryPoint } = taken
    engine.announce({ type: 'taken_over', id: input.id, operation, attempt, recoveryPoint })
  }
  return taken
}

function claimed<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  request: ClaimRequest<Tx, Isolation>,
  input: ClaimInput,
  attempt: number,
  execution: string,
  record?: FoundRecord,
): ClaimResult | Promise<ClaimResult> {
  const stages: Stages = record?.stages ?? new Map()
  const resumed = stages.size > 0
  const recoveryPoint = record?.recoveryPoint ?? STARTED
  const { id, owner } = input
  engine.announce({
    type: 'claimed',
    id,
    operation: request.operation,
    attempt,
    resumed,
    recoveryPoint,
  })
  const hold = { id, owner, attempt }
  const revision = record?.revision ?? 0
  const result = {
    kind: 'claimed',
    hold,
    execution,
    recoveryPoint,
    revision,
    stages,
    resumed,
    version: record === undefined ? input.task?.version : record.version,
  } as const
  return engine.failpoint?.('claim.after', { id, attempt }).then(() => result) ?? result
}

/**
 * When to ask again. A lease is renewed every third of its length: one with more than two thirds left belongs to
 * somebody alive, who may be done any moment; one with less, to somebody who is probably gone, and until it lapses
 * asking is useless.
 */
function soonest<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  leftMs: number,
): number {
  return leftMs > (engine.leaseMs * 2) / 3 ? Math.min(leftMs, ALIVE_RETRY_MS) : leftMs
}

/** Growing, with jitter: a thousand waiters of one key do not ask in step. */
function pollMs<Tx, Isolation extends string>(
  engine: Engine<Tx, Isolation>,
  polls: number,
): number {
  const ceiling = Math.min(POLL_MAX_MS, POLL_FIRST_MS * 1.5 ** Math.min(polls, 20))
  return ceiling * (0.5 + engine.runtime.random() / 2)
}

/**
 * The checker: whether a history keeps what docs/guarantees.md promises. Eleven invariants, each one function and linear
 * in the history (but for sorting), so that hundreds of thousands of histories can be checked; and since every key is on
 * its own, nothing cleverer is needed.
 */
import type {
  ChangeEvent,
  CommitEvent,
  EffectEvent,
  HistoryEvent,
  RequestEvent,
  SeenRecord,
  SentEvent,
} from './history.ts'
import { liveAmong, recordsOf, type RecordHistory } from './record-history.ts'

/** The names of the invariants. */
export const INVARIANTS = {
  I1: 'one committed effect for each stage of a finished request, at most one of an unfinished',
  I2: 'all answers to a key are equal, and are what was stored',
  I3: 'no answer is given to another scope, or for another input',
  I4: 'once answered, nothing executes and nothing else is answered until the retention is over',
  I5: 'a fenced holder never commits; attempts only grow; nobody ends a live lease but its holder',
  I6: 'a finished record stays until its retention is over; an unfinished one is never deleted',
  I7: 'when faults stop, every request finishes, or stops in a declared state, in time',
  I8: '"in progress" is said only while another attempt has a live lease',
  I9: 'a call goes out with one downstream key, once for each attempt; what is not repeatable happens once',
  I10: 'no connection, transaction, waiter or lease is left over',
  I11: 'no attempt that left an effect says that a new key is safe',
} as const

/** The name of an invariant. */
export type InvariantName = keyof typeof INVARIANTS

/** One breach. */
export interface Violation {
  readonly invariant: InvariantName
  readonly message: string
}

/** What a lane's handler does, and how long recovery may take. */
export interface CheckRules {
  /** The stages that have an effect in every request that ended with a status below 300. */
  readonly effects: readonly string[]
  /** The calls that such a request made. */
  readonly calls: readonly string[]
  /** The states in which a record may stay, beside `finished`. */
  readonly terminal: readonly ('unknown' | 'failed')[]
  /** From the end of the faults; undefined: not judged. */
  readonly recoveryMs: number | undefined
}

/** The history, sorted out once. */
interface Sorted {
  readonly rules: CheckRules
  readonly requests: readonly RequestEvent[]
  readonly changes: readonly ChangeEvent[]
  readonly commits: readonly CommitEvent[]
  readonly effects: readonly EffectEvent[]
  readonly sent: readonly SentEvent[]
  readonly records: ReadonlyMap<string, RecordHistory>
  readonly quietAt: number | undefined
  readonly endAt: number | undefined
  readonly leaks: readonly string[]
  readonly assertions: readonly string[]
}

type Check = (sorted: Sorted, found: (message: string) => void) => void

const CHECKS: Readonly<Record<InvariantName, Check>> = {
  I1: effectsOnce,
  I2: answersEqual,
  I3: answersOwn,
  I4: answersFinal,
  I5: fencing,
  I6: retention,
  I7: recovery,
  I8: inProgress,
  I9: downstream,
  I10: leftOver,
  I11: newKeys,
}

/** Every breach of every invariant. */
export function check(events: readonly HistoryEvent[], rules: CheckRules): readonly Violation[] {
  const sorted = sortedOf(events, rules)
  const violations: Violation[] = []
  for (const [name, holds] of Object.entries(CHECKS)) {
    const invariant = name as InvariantName
    holds(sorted, (message) => violations.push({ invariant, message }))
  }
  return violations
}

function sortedOf(events: readonly HistoryEvent[], rules: CheckRules): Sorted {
  const requests: RequestEvent[] = []
  const changes: ChangeEvent[] = []
  const commits: CommitEvent[] = []
  const effects: EffectEvent[] = []
  const sent: SentEvent[] = []
  const leaks: string[] = []
  const assertions: string[] = []
  let quietAt: number | undefined
  let endAt: number | undefined
  for (const event of events) {
    switch (event.op) {
      case 'request':
        requests.push(event)
        break
      case 'change':
        changes.push(event)
        break
      case 'commit':
        commits.push(event)
        break
      case 'effect':
        effects.push(event)
        break
      case 'sent':
        sent.push(event)
        break
      case 'quiet':
        quietAt = event.at
        break
      case 'end':
        endAt = event.at
        leaks.push(...event.leaks)
        break
      case 'assertion':
        assertions.push(event.message)
        break
      case 'fault':
        break
    }
  }
  const records = recordsOf(changes)
  const lists = { requests, changes, commits, effects, sent, leaks, assertions }
  return { rules, ...lists, records, quietAt, endAt }
}

/** I1. Of the table as it is at the end, and of what was committed on the way there. */
function effectsOnce({ rules, effects, records, requests }: Sorted, found: Found): void {
  const counts = counted(effects, ({ id, execution, step }) => `${id} ${execution} ${step}`)
  for (const [what, count] of counts)
    if (count > 1) found(`effect committed ${String(count)} times: ${what}`)
  for (const { id, execution } of finishedWell(records, requests)) {
    for (const step of rules.effects) {
      if (!counts.has(`${id} ${execution} ${step}`))
        found(`finished without an effect: ${id} ${execution} ${step}`)
    }
  }
}

/** Executions that ended with a status below 300, as their records or their answers say. */
function finishedWell(
  records: Sorted['records'],
  requests: readonly RequestEvent[],
): readonly { readonly id: string; readonly execution: string }[] {
  const ends = new Map<string, { id: string; execution: string }>()
  for (const [id, { executions }] of records) {
    for (const { execution, outcome } of executions) {
      if (outcome !== undefined && outcome.status < 300)
        ends.set(`${id} ${execution}`, { id, execution })
    }
  }
  for (const { id, answer } of requests) {
    // Where records are not seen, there is one execution of each.
    if (records.has(id) || answer.type !== 'ok' || answer.outcome.status >= 300) continue
    ends.set(id, { id, execution: '' })
  }
  return [...ends.values()]
}

/** I2. */
function answersEqual({ requests, records }: Sorted, found: Found): void {
  const first = new Map<string, string>()
  for (const { id, request, answer } of requests) {
    if (answer.type !== 'ok') continue
    const { status, body, headers } = answer.outcome
    const said = JSON.stringify([status, body, headers])
    const record = records.get(id)
    const execution = record?.executionOf(answer.outcome)
    if (record !== undefined && execution === undefined) {
      found(`request ${String(request)} was answered with what was never stored: ${id} ${said}`)
      continue
    }
    const group = `${id} ${execution?.execution ?? ''}`
    const before = first.get(group)
    if (before === undefined) first.set(group, said)
    else if (before !== said) found(`two answers to ${group}: ${before} and ${said}`)
  }
}

/** I3. Of what was answered, and of what was stored, for whoever asks next. */
function answersOwn({ requests, records }: Sorted, found: Found): void {
  const byOwner = new Map(requests.flatMap((asked) => asked.owners.map((owner) => [owner, asked])))
  for (const { request, scope, fingerprint, answer } of requests) {
    if (answer.type !== 'ok' || answer.outcome.madeFor === undefined) continue
    const { madeFor } = answer.outcome
    if (madeFor.scope !== scope || madeFor.fingerprint !== fingerprint) {
      const whose = `${madeFor.scope} ${madeFor.fingerprint}`
      found(`request ${String(request)} of ${scope} ${fingerprint} was answered as ${whose}`)
    }
  }
  for (const [id, { executions }] of records) {
    for (const { execution, begunBy, outcome } of executions) {
      const asked = begunBy === undefined ? undefined : byOwner.get(begunBy)
      const madeFor = outcome?.madeFor
      if (asked === undefined || madeFor === undefined) continue
      if (madeFor.scope !== asked.scope || madeFor.fingerprint !== asked.fingerprint)
        found(
          `${id} ${execution} was begun by ${asked.fingerprint}, done for ${madeFor.fingerprint}`,
        )
    }
  }
}

/** I4. Requests in the order they were made, against the latest execution that somebody had an answer of by then. */
function answersFinal({ requests, records, commits }: Sorted, found: Found): void {
  const firstAnswered = new Map<string, number>()
  for (const [id, record] of records) {
    const of = requests.filter((asked) => asked.id === id)
    for (const { answer, returnedAt } of of) {
      if (answer.type !== 'ok' || returnedAt === undefined) continue
      const execution = record.executionOf(answer.outcome)
      if (execution === undefined) continue
      const group = `${id} ${execution.execution}`
      firstAnswered.set(group, Math.min(returnedAt, firstAnswered.get(group) ?? Infinity))
    }
    laterAnswers(record, of, found)
  }
  for (const { id, execution, at, effects } of commits) {
    const answeredAt = firstAnswered.get(`${id} ${execution ?? ''}`)
    if (answeredAt !== undefined && at > answeredAt)
      found(`${id} committed ${effects.join()} at ${String(at)}, answered at ${String(answeredAt)}`)
  }
}

function laterAnswers(
  record: RecordHistory,
  requests: readonly RequestEvent[],
  found: Found,
): void {
  const returns = requests
    .filter(({ answer, returnedAt }) => answer.type === 'ok' && returnedAt !== undefined)
    .sort((a, b) => (a.returnedAt ?? 0) - (b.returnedAt ?? 0))
  let latest: RecordHistory['executions'][number] | undefined
  let seen = 0
  for (const asked of [...requests].sort((a, b) => a.invokedAt - b.invokedAt)) {
    for (; (returns[seen]?.returnedAt ?? Infinity) < asked.invokedAt; seen++) {
      const answer = returns[seen]?.answer
      const execution = answer?.type === 'ok' ? record.executionOf(answer.outcome) : undefined
      if (execution !== undefined && execution.order > (latest?.order ?? -1)) latest = execution
    }
    if (latest === undefined) continue
    const { answer, request, fingerprint } = asked
    const name = `request ${String(request)} (${fingerprint})`
    const execution = answer.type === 'ok' ? record.executionOf(answer.outcome) : undefined
    if (execution !== undefined && execution.order < latest.order)
      found(`${name} was answered of an execution before the latest, ${latest.execution}`)
    const isKept = asked.returnedClock !== undefined && asked.returnedClock <= latest.expiresAt
    if (!isKept) continue
    if (execution !== undefined && execution.order > latest.order)
      found(`${name} was answered anew while ${latest.execution} was kept`)
    if (answer.type === 'fail' && NEVER_AFTER_AN_ANSWER.has(answer.code))
      found(`${name} was told ${answer.code} while ${latest.execution} was kept`)
  }
}

/** What is said of a record that is not finished. */
const NEVER_AFTER_AN_ANSWER: ReadonlySet<string> = new Set([
  'in_progress',
  'outcome_unknown',
  'attempts_exhausted',
])

/** I5. */
function fencing({ commits, changes, assertions }: Sorted, found: Found): void {
  for (const { id, hold, current, effects } of commits) {
    if (current?.owner !== hold.owner || current.attempt !== hold.attempt)
      found(
        `${id}: attempt ${String(hold.attempt)} committed ${effects.join()} while the record was ` +
          `held by attempt ${String(current?.attempt)}`,
      )
  }
  for (const change of changes) {
    const { id, before, after, by } = change
    if (by !== undefined && before !== undefined && !isHeldBy(before, by))
      found(`${id}: attempt ${String(by.attempt)} wrote over attempt ${String(before.attempt)}`)
    if (before !== undefined && after !== undefined) moved(change, before, after, found)
  }
  for (const message of assertions) found(`asserted: ${message}`)
}

function isHeldBy(record: SeenRecord, by: { owner: string; attempt: number }): boolean {
  return record.owner === by.owner && record.attempt === by.attempt && record.state === 'running'
}

function moved(
  { id, clock, by }: ChangeEvent,
  before: SeenRecord,
  after: SeenRecord,
  found: Found,
): void {
  if (after.attempt < before.attempt)
    found(`${id}: attempt ${String(before.attempt)} was followed by ${String(after.attempt)}`)
  const isAnew = after.execution !== before.execution
  const isTaken = after.owner !== undefined && after.owner !== before.owner
  if (isTaken && after.attempt <= before.attempt)
    found(`${id}: another owner has attempt ${String(after.attempt)}`)
  const isLive = before.owner !== undefined && (before.lockedUntil ?? -Infinity) >= clock
  if (isTaken && !isAnew && before.state === 'running' && isLive)
    found(`${id}: attempt ${String(before.attempt)} was taken over while its lease was live`)
  if (!isAnew && isLive && !by && before.state === 'running' && after.state !== 'running')
    found(`${id}: attempt ${String(before.attempt)} was stopped while its lease was live`)
  if (isAnew) return
  if (
    before.outcome !== undefined &&
    JSON.stringify(before.outcome) !== JSON.stringify(after.outcome)
  )
    found(`${id}: the outcome of ${before.execution} changed`)
  for (const [name, status] of Object.entries(before.steps)) {
    if (status === 'done' && after.steps[name] !== 'done')
      found(`${id}: the record of "${name}" is lost`)
  }
}

/** I6. */
function retention({ changes }: Sorted, found: Found): void {
  for (const { id, before, after, clock } of changes) {
    if (before === undefined) continue
    const isOver = after === undefined || after.execution !== before.execution
    const what = after === undefined ? 'deleted' : 'begun anew'
    if (isOver && before.state !== 'finished') found(`${id} was ${what} while ${before.state}`)
    else if (isOver && clock <= before.expiresAt)
      found(`${id} was ${what} ${String(before.expiresAt - clock)} ms before its time`)
    else if (!isOver && before.state === 'finished' && after.expiresAt < before.expiresAt)
      found(`the retention of ${id} was shortened`)
  }
}

/** I7. */
function recovery({ records, rules, quietAt, endAt }: Sorted, found: Found): void {
  if (quietAt === undefined || endAt === undefined || rules.recoveryMs === undefined) return
  for (const [id, { last, lastAt, executions }] of records) {
    if (last === undefined) continue
    const { state } = last
    const from = Math.max(quietAt, executions.at(-1)?.begunAt ?? 0)
    const isOver = state === 'finished' || (state !== 'running' && rules.terminal.includes(state))
    if (!isOver) found(`${id} is ${state}, ${String(endAt - quietAt)} ms after the last fault`)
    else if (lastAt - from > rules.recoveryMs)
      found(`${id} took ${String(lastAt - from)} ms from the last fault to ${state}`)
  }
}

/** I8. */
function inProgress({ requests, records }: Sorted, found: Found): void {
  for (const asked of requests) {
    const { id, request, answer, owners } = asked
    if (answer.type !== 'fail' || answer.code !== 'in_progress') continue
    const record = records.get(id)
    if (record === undefined) continue
    if (!liveAmong(record, asked))
      found(`request ${String(request)} (${owners.join()}) met no other live attempt at ${id}`)
  }
}

/** I9. */
function downstream({ sent, rules, records }: Sorted, found: Found): void {
  const groups = new Map<string, SentEvent[]>()
  const unclear = new Set<string>()
  for (const event of sent) {
    if (event.execution === undefined) {
      unclear.add(`${event.id} ${event.call}`)
      continue
    }
    const group = `${event.id} ${event.execution} ${event.call}`
    groups.set(group, [...(groups.get(group) ?? []), event])
  }
  for (const [group, events] of groups) {
    const keys = new Set(events.map(({ downstreamKey }) => downstreamKey))
    if (keys.size > 1) found(`${String(keys.size)} downstream keys: ${group}`)
    const happened = events.filter((event) => event.happened).length
    if (events.some(({ repeatable }) => !repeatable) && happened > 1)
      found(`not repeatable, and happened ${String(happened)} times: ${group}`)
    const [first] = events
    const attempts = first && attemptsOf(records, first)
    if (attempts !== undefined && events.length > attempts)
      found(`sent ${String(events.length)} times in ${String(attempts)} attempts: ${group}`)
  }
  for (const [id, { executions }] of records) {
    for (const { execution, outcome } of executions) {
      if (outcome === undefined || outcome.status >= 300) continue
      for (const call of rules.calls)
        if (!groups.has(`${id} ${execution} ${call}`) && !unclear.has(`${id} ${call}`))
          found(`finished without its call: ${id} ${execution} ${call}`)
    }
  }
}

function attemptsOf(records: Sorted['records'], { id, execution }: SentEvent): number | undefined {
  return records.get(id)?.executions.find((one) => one.execution === execution)?.attempts
}

/** I10. */
function leftOver({ leaks }: Sorted, found: Found): void {
  for (const leak of leaks) found(leak)
}

/** I11. Where attempts cannot be told apart, no effect of the key may be there. */
function newKeys({ requests, effects }: Sorted, found: Found): void {
  const owners = new Set(effects.map(({ owner }) => owner))
  const ids = new Set(effects.map(({ id }) => id))
  for (const { id, request, answer, owners: own } of requests) {
    if (answer.type !== 'fail' || !answer.safeNewKey || answer.code === 'payload_mismatch') continue
    const left = own.length === 0 ? ids.has(id) : own.some((owner) => owners.has(owner))
    if (left) found(`request ${String(request)} said that a new key is safe, with effects of ${id}`)
  }
}

type Found = (message: string) => void

function counted<T>(items: readonly T[], nameOf: (item: T) => string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  for (const item of items) counts.set(nameOf(item), (counts.get(nameOf(item)) ?? 0) + 1)
  return counts
}

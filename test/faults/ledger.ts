/**
 * What the clients of a lane were told, and what it is held against in the end: the effects, the records and the
 * database's connections. One effect for each key and stage; one response for each key, in status and bytes.
 */
import { CALL, type Charge, type Effect, type Reply, STAGES } from './rides.ts'

const SHOWN_MAX = 5
const QUIET_MAX_MS = 10_000

/** What stands in the database in the end. */
export interface Evidence {
  effects(): Promise<readonly Effect[]>
  records(): Promise<readonly RecordRow[]>
  /** Of the application's connections, those that are idle inside a transaction, or still at work. */
  openTransactions(): Promise<number>
}

/** A record, as its row says. */
export interface RecordRow {
  readonly key: string
  readonly state: string
  readonly attempt: number
  /** Of the outcome. */
  readonly body: string | undefined
}

/** What clients were told. */
export interface Ledger {
  /** @returns true: the client has its answer, and asks no more */
  note(key: string, reply: Reply): boolean
  /** A request of the called system. */
  charged(charge: Charge): void
  /** Each key that was asked for. */
  readonly keys: ReadonlySet<string>
  /** The first answer, by key. */
  readonly answers: ReadonlyMap<string, string>
  readonly counts: { answers: number; replays: number; lost: number }
  /** Problems, by code: how often. */
  readonly problems: ReadonlyMap<string, number>
  /** What no client may be told. */
  readonly wrong: readonly string[]
}

/** @param tolerated - texts of errors of the handler's own that the lane throws itself */
export function createLedger(tolerated: (what: string) => boolean = () => false): Ledger {
  const keys = new Set<string>()
  const answers = new Map<string, string>()
  const problems = new Map<string, number>()
  const wrong: string[] = []
  const downstream = new Map<string, string>()
  const counts = { answers: 0, replays: 0, lost: 0 }
  const met = (what: string): void => void problems.set(what, (problems.get(what) ?? 0) + 1)
  return {
    keys,
    answers,
    problems,
    counts,
    wrong,
    charged: ({ key, downstreamKey }) => {
      const before = downstream.get(key)
      if (before !== undefined && before !== downstreamKey)
        wrong.push(`${key}: called with the downstream key ${before}, then with ${downstreamKey}`)
      downstream.set(key, downstreamKey)
    },
    note: (key, reply) => {
      keys.add(key)
      if (reply.kind === 'lost') {
        counts.lost++
        return false
      }
      if (reply.kind === 'threw') {
        if (!tolerated(reply.what)) wrong.push(`${key}: an error reached the client: ${reply.what}`)
        met(reply.code ?? 'threw')
        return false
      }
      const { status, code, body } = reply
      if (code !== undefined) {
        if (!RETRIED.has(code)) wrong.push(`${key}: answered ${String(status)} ${code}`)
        met(code)
        return false
      }
      counts.answers++
      if (reply.replayed) counts.replays++
      const answer = `${String(status)} ${body}`
      const first = answers.get(key)
      if (first === undefined) answers.set(key, answer)
      else if (first !== answer) wrong.push(`${key}: answered ${first}, then ${answer}`)
      return true
    },
  }
}

/** Problems after which a client asks again. */
const RETRIED: ReadonlySet<string> = new Set([
  'in_progress',
  'store_unavailable',
  'lease_lost',
  'stage_aborted',
  'outcome_unknown',
  'closed',
])

/** What the end must be. */
export interface Expected {
  /** How this is shown again. */
  readonly again: string
  /** True: every record is finished, whoever finished it. */
  readonly allFinished?: boolean
}

/** Everything that does not hold; each with how it is shown again. */
export async function violationsOf(
  ledger: Ledger,
  evidence: Evidence,
  { again, allFinished = true }: Expected,
): Promise<readonly string[]> {
  const effects = new Map<string, Effect[]>()
  for (const effect of await evidence.effects()) {
    const name = `${effect.key} ${effect.stage}`
    effects.set(name, [...(effects.get(name) ?? []), effect])
  }
  const records = await evidence.records()
  const found = [
    ...ledger.wrong,
    ...repeated(effects),
    ...records.flatMap((record) => wrongRecord(record, effects, allFinished)),
    ...wrongAnswers(ledger, new Map(records.map((record) => [record.key, record]))),
    ...(await leftOpen(evidence)),
  ]
  const shown = found.slice(0, SHOWN_MAX).map((violation) => `${violation} [${again}]`)
  const more = found.length - shown.length
  return more > 0 ? [...shown, `and ${String(more)} more [${again}]`] : shown
}

function repeated(effects: ReadonlyMap<string, readonly Effect[]>): readonly string[] {
  return [...effects].flatMap(([name, rows]) =>
    rows.length > 1
      ? [`${name}: ${rows.length} effects, of attempts ${rows.map((row) => row.attempt).join()}`]
      : [],
  )
}

function wrongRecord(
  { key, state, attempt, body }: RecordRow,
  effects: ReadonlyMap<string, readonly Effect[]>,
  allFinished: boolean,
): readonly string[] {
  if (state !== 'finished')
    return allFinished ? [`${key}: ${state} in the end, at attempt ${attempt}`] : []
  const { notes = [], charged } = JSON.parse(body ?? '{}') as {
    notes?: readonly string[]
    charged?: string
  }
  const stored = STAGES.map((stage) => effects.get(`${key} ${stage}`)?.[0]?.note)
  if (STAGES.some((_, nth) => stored[nth] === undefined || stored[nth] !== notes[nth]))
    return [`${key}: finished with ${notes.join()}, its effects are ${stored.join()}`]
  return charged === undefined ? [`${key}: finished without "${CALL}"`] : []
}

function wrongAnswers(
  { answers }: Ledger,
  records: ReadonlyMap<string, RecordRow>,
): readonly string[] {
  return [...answers].flatMap(([key, answer]) => {
    const record = records.get(key)
    if (record?.state !== 'finished') return [`${key}: answered ${answer}, and it is not kept`]
    const kept = `201 ${record.body ?? ''}`
    return kept === answer ? [] : [`${key}: answered ${answer}, kept as ${kept}`]
  })
}

/** Whoever was killed or cut off is rolled back by the server, which takes its time. */
async function leftOpen({ openTransactions }: Evidence): Promise<readonly string[]> {
  const until = performance.now() + QUIET_MAX_MS
  for (;;) {
    const open = await openTransactions()
    if (open === 0) return []
    if (performance.now() > until) return [`${open} transactions are open in the end`]
    await pause(50)
  }
}

/** Why a lane's green would mean nothing: each count that is below what it must at least be. */
export function hollowOf(
  counts: Readonly<Record<string, readonly [count: number, least: number]>>,
): readonly string[] {
  return Object.entries(counts).flatMap(([what, [count, least]]) =>
    count < least ? [`${what}: ${count}, at least ${least} are needed`] : [],
  )
}

/** `in_progress ×12, store_unavailable ×3`. */
export function said(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([what, count]) => `${what} ×${String(count)}`).join(', ')
}

/** The value below which all but a hundredth are. */
export function p99(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.99))] ?? 0)
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** mulberry32: what was drawn can be drawn again. */
export function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

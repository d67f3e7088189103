/**
 * Goal: the checker finds every breach it is for, and nothing in a clean history. Method: one clean history of one
 * request that was taken over, finished and replayed; each test plants one breach in it.
 */
import { describe, expect, test } from 'vitest'
import { check, type CheckRules, INVARIANTS, type InvariantName } from '../../faults/checker.ts'
import {
  History,
  type HistoryEvent,
  historyOf,
  type RequestEvent,
  type SeenOutcome,
  type SeenRecord,
} from '../../faults/history.ts'

const RULES: CheckRules = {
  effects: ['reserved', 'finish'],
  calls: ['charge'],
  terminal: ['unknown'],
  recoveryMs: 1_000,
}
const ID = 'ikey_1'
const OUTCOME: SeenOutcome = {
  status: 201,
  body: 'ride 1',
  headers: '[]',
  madeFor: { scope: 'alice', fingerprint: 'oslo' },
}
const CLAIMED: SeenRecord = {
  execution: '1000',
  state: 'running',
  owner: 'a',
  attempt: 1,
  revision: 0,
  recoveryPoint: 'started',
  steps: {},
  lockedUntil: 1_100,
  expiresAt: 9_000,
  outcome: undefined,
}
const RESERVED: SeenRecord = {
  ...CLAIMED,
  revision: 1,
  recoveryPoint: 'reserved',
  steps: { reserved: 'done' },
  lockedUntil: 1_120,
}
const TAKEN: SeenRecord = { ...RESERVED, owner: 'b', attempt: 2, lockedUntil: 1_300 }
const FINISHED: SeenRecord = {
  ...TAKEN,
  state: 'finished',
  revision: 2,
  recoveryPoint: 'finished',
  lockedUntil: undefined,
  outcome: OUTCOME,
}

function request(planted: Partial<RequestEvent>): RequestEvent {
  return {
    op: 'request',
    process: 'p',
    request: 1,
    id: ID,
    scope: 'alice',
    key: 'k',
    fingerprint: 'oslo',
    owners: ['a'],
    invokedAt: 0,
    invokedClock: 1_000,
    returnedAt: undefined,
    returnedClock: undefined,
    answer: { type: 'info' },
    ...planted,
  }
}

function change(
  at: number,
  before?: SeenRecord,
  after?: SeenRecord,
  by?: SeenRecord,
): HistoryEvent {
  const hold = by && { owner: by.owner ?? '', attempt: by.attempt }
  return { op: 'change', at, clock: 1_000 + at, id: ID, by: hold, before, after }
}

function commit(at: number, effect: string, by: SeenRecord, current = by): HistoryEvent {
  const { owner = '', attempt, execution } = by
  const holder = { owner: current.owner ?? '', attempt: current.attempt }
  return {
    op: 'commit',
    at,
    id: ID,
    execution,
    effects: [effect],
    hold: { owner, attempt },
    current: holder,
  }
}

function sent(planted: Partial<Extract<HistoryEvent, { op: 'sent' }>> = {}): HistoryEvent {
  return {
    op: 'sent',
    at: 40,
    id: ID,
    execution: '1000',
    call: 'charge',
    downstreamKey: 'call_1',
    repeatable: true,
    happened: true,
    ...planted,
  }
}

function effect(step: string, owner = 'a'): HistoryEvent {
  return { op: 'effect', id: ID, execution: '1000', step, owner }
}

const OK = { type: 'ok', replayed: false, outcome: OUTCOME } as const
const IN_PROGRESS = { type: 'fail', code: 'in_progress', safeNewKey: false } as const
/** By name, so that a test can leave one out or put another in its place. */
const CLEAN = {
  claim: change(1, undefined, CLAIMED),
  reserve: change(20, CLAIMED, RESERVED, CLAIMED),
  reserved: commit(20, 'reserved', CLAIMED),
  refused: request({
    request: 2,
    owners: ['x'],
    invokedAt: 30,
    invokedClock: 1_030,
    returnedAt: 31,
    returnedClock: 1_031,
    answer: IN_PROGRESS,
  }),
  charge: sent(),
  takeOver: change(130, RESERVED, TAKEN),
  finish: change(150, TAKEN, FINISHED, TAKEN),
  finished: commit(150, 'finish', TAKEN),
  crashed: request({}),
  answered: request({
    request: 3,
    owners: ['b'],
    invokedAt: 129,
    invokedClock: 1_129,
    returnedAt: 151,
    returnedClock: 1_151,
    answer: OK,
  }),
  replayed: request({
    request: 4,
    owners: ['c'],
    invokedAt: 160,
    invokedClock: 1_160,
    returnedAt: 161,
    returnedClock: 1_161,
    answer: { ...OK, replayed: true },
  }),
  quiet: { op: 'quiet', at: 100 },
  reservedRow: effect('reserved'),
  finishRow: effect('finish', 'b'),
  end: { op: 'end', at: 5_000, leaks: [] },
} as const satisfies Record<string, HistoryEvent>

type Planted = Partial<Record<keyof typeof CLEAN, HistoryEvent | undefined>>

function breaches(planted: Planted, also: readonly HistoryEvent[] = []): readonly InvariantName[] {
  const events = Object.values({ ...CLEAN, ...planted }).filter((event) => event !== undefined)
  return [...new Set(check([...events, ...also], RULES).map(({ invariant }) => invariant))]
}

test('a clean history has no breach', () => {
  expect(check(Object.values(CLEAN), RULES)).toEqual([])
})

test('a history of what was only asked and answered is judged by that', () => {
  const seen = [
    CLEAN.answered,
    CLEAN.replayed,
    { ...CLEAN.reservedRow, execution: '' },
    { ...CLEAN.finishRow, execution: '' },
  ]
  expect(check(seen, RULES)).toEqual([])
  const another = request({
    request: 9,
    answer: { ...OK, outcome: { ...OUTCOME, body: 'ride 2' } },
  })
  expect(check([...seen, another], RULES).map(({ invariant }) => invariant)).toEqual(['I2'])
  expect(check(seen.slice(0, 3), RULES).map(({ invariant }) => invariant)).toEqual(['I1'])
})

const OTHER_OUTCOME = { ...OUTCOME, body: 'ride 2' }
const ANEW: SeenRecord = {
  ...CLAIMED,
  execution: '2000',
  owner: 'd',
  attempt: 3,
  lockedUntil: 1_400,
}
type Row = readonly [InvariantName, string, Planted, (readonly HistoryEvent[])?]
const PLANTED: readonly Row[] = [
  ['I1', 'an effect twice', {}, [effect('reserved')]],
  ['I1', 'finished without one of its effects', { finishRow: undefined }],
  [
    'I2',
    'two answers that differ',
    {
      replayed: request({
        request: 4,
        owners: ['c'],
        invokedAt: 160,
        returnedAt: 161,
        returnedClock: 1_161,
        answer: { ...OK, outcome: { ...OUTCOME, status: 200 } },
      }),
    },
  ],
  [
    'I2',
    'an answer that was never stored',
    {
      answered: request({
        request: 3,
        owners: ['b'],
        returnedAt: 151,
        answer: { ...OK, outcome: OTHER_OUTCOME },
      }),
    },
  ],
  ['I3', 'an answer to another scope', { replayed: { ...CLEAN.replayed, scope: 'bob' } }],
  ['I3', 'an answer for another input', { replayed: { ...CLEAN.replayed, fingerprint: 'rome' } }],
  [
    'I3',
    'done for another input than it was begun with',
    {},
    [
      { ...CLEAN.crashed, request: 7, owners: ['e'], fingerprint: 'rome' },
      { ...change(10, undefined, { ...CLAIMED, owner: 'e' }), id: 'ikey_2' } as HistoryEvent,
      {
        ...change(
          20,
          { ...CLAIMED, owner: 'e' },
          { ...FINISHED, owner: 'e', attempt: 1, outcome: { ...OTHER_OUTCOME, status: 400 } },
        ),
        id: 'ikey_2',
      } as HistoryEvent,
    ],
  ],
  ['I4', 'a commit after the answer', {}, [commit(170, 'again', TAKEN)]],
  [
    'I4',
    'in progress after the answer',
    {},
    [{ ...CLEAN.refused, request: 8, invokedAt: 170, returnedAt: 171, returnedClock: 1_171 }],
  ],
  [
    'I4',
    'answered anew while it was kept',
    {},
    [
      change(200, FINISHED, ANEW),
      change(210, ANEW, { ...ANEW, state: 'finished', outcome: OTHER_OUTCOME }),
      {
        ...CLEAN.replayed,
        request: 8,
        invokedAt: 190,
        returnedAt: 220,
        returnedClock: 1_220,
        answer: { ...OK, outcome: OTHER_OUTCOME },
      },
    ],
  ],
  [
    'I5',
    'a commit of a holder that was taken over',
    { finished: commit(150, 'finish', CLAIMED, TAKEN) },
  ],
  [
    'I5',
    'a change by a holder that was taken over',
    { finish: change(150, TAKEN, FINISHED, CLAIMED) },
  ],
  ['I5', 'an attempt that shrinks', {}, [change(200, FINISHED, { ...FINISHED, attempt: 1 })]],
  [
    'I5',
    'another owner with the same attempt',
    { takeOver: change(130, RESERVED, { ...TAKEN, attempt: 1 }) },
  ],
  ['I5', 'a live lease that is taken over', { takeOver: change(110, RESERVED, TAKEN) }],
  [
    'I5',
    'a live attempt that is stopped',
    {
      finish: change(150, TAKEN, { ...TAKEN, state: 'unknown' }),
      finished: undefined,
      answered: undefined,
      replayed: undefined,
    },
  ],
  [
    'I5',
    'a recorded step that is lost',
    {
      takeOver: change(130, RESERVED, { ...TAKEN, steps: {} }),
    },
  ],
  [
    'I5',
    'an outcome that changes',
    {},
    [
      change(200, FINISHED, { ...FINISHED, outcome: OTHER_OUTCOME }),
      change(201, { ...FINISHED, outcome: OTHER_OUTCOME }, FINISHED),
    ],
  ],
  [
    'I5',
    'an assertion of the engine',
    {},
    [{ op: 'assertion', at: 1, process: 'p', message: 'attempts only grow' }],
  ],
  ['I6', 'a finished record that is deleted too soon', {}, [change(200, FINISHED, undefined)]],
  [
    'I6',
    'an unfinished record that is deleted',
    {},
    [{ ...change(8_500, CLAIMED, undefined), id: 'ikey_3' } as HistoryEvent],
  ],
  [
    'I6',
    'a record that begins anew too soon',
    {},
    [
      change(200, FINISHED, ANEW),
      change(210, ANEW, { ...ANEW, state: 'finished', outcome: { ...OTHER_OUTCOME, status: 400 } }),
    ],
  ],
  [
    'I6',
    'a retention that shrinks',
    {},
    [change(200, FINISHED, { ...FINISHED, expiresAt: 2_000 })],
  ],
  [
    'I7',
    'a record that never ends',
    { finish: undefined, finished: undefined, answered: undefined, replayed: undefined },
  ],
  [
    'I7',
    'a record that ends late',
    {
      finish: change(2_000, TAKEN, FINISHED, TAKEN),
      finished: commit(2_000, 'finish', TAKEN),
      answered: { ...CLEAN.answered, returnedAt: 2_001 },
      replayed: undefined,
    },
  ],
  [
    'I8',
    'in progress with nobody there',
    {
      refused: { ...CLEAN.refused, invokedAt: 125, invokedClock: 1_125, returnedAt: 126 },
    },
  ],
  ['I8', 'in progress of one’s own claim', { refused: { ...CLEAN.refused, owners: ['a'] } }],
  ['I9', 'two downstream keys', {}, [sent({ downstreamKey: 'call_2' })]],
  ['I9', 'more often than there were attempts', {}, [sent(), sent()]],
  [
    'I9',
    'not repeatable, and happened twice',
    { charge: sent({ repeatable: false }) },
    [sent({ repeatable: false })],
  ],
  ['I9', 'finished without its call', { charge: undefined }],
  [
    'I10',
    'something left over',
    { end: { op: 'end', at: 5_000, leaks: ['a transaction is open'] } },
  ],
  [
    'I11',
    'a new key that is called safe',
    {
      crashed: request({
        returnedAt: 5,
        answer: { type: 'fail', code: 'stage_aborted', safeNewKey: true },
      }),
    },
  ],
]

describe('a planted breach is found', () => {
  const rows = PLANTED.map(([invariant, name, planted, also]) => {
    return { invariant, name, planted, also }
  })

  test.each(rows)('$invariant · $name', ({ invariant, planted, also }) => {
    expect(breaches(planted, also)).toContain(invariant)
  })

  test('of every invariant there is one', () => {
    const planted = new Set(PLANTED.map(([invariant]) => invariant))
    expect([...planted].sort()).toEqual(Object.keys(INVARIANTS).sort())
  })
})

describe('what looks like a breach and is none', () => {
  test('a record that expired, was deleted, and began anew', () => {
    const anew = { ...ANEW, attempt: 1, lockedUntil: 10_100, expiresAt: 20_000 }
    const outcome = { ...OTHER_OUTCOME, status: 400 }
    const later = [
      change(8_001, FINISHED, undefined),
      change(8_500, undefined, anew),
      change(8_600, anew, { ...anew, state: 'finished', outcome }, anew),
      request({
        request: 8,
        owners: ['d'],
        invokedAt: 8_499,
        returnedAt: 8_601,
        returnedClock: 9_601,
        answer: { ...OK, outcome },
      }),
    ] as const
    expect(breaches({ quiet: undefined }, later)).toEqual([])
  })

  test('the intent of a call that is taken back', () => {
    const intent: SeenRecord = {
      ...RESERVED,
      revision: 2,
      steps: { reserved: 'done', charge: 'sent' },
    }
    const back = { ...RESERVED, revision: 3 }
    const later = [change(21, RESERVED, intent, RESERVED), change(22, intent, back, intent)]
    expect(breaches({}, later)).toEqual([])
  })

  test('a mismatch, which says that a new key is safe', () => {
    const answer = { type: 'fail', code: 'payload_mismatch', safeNewKey: true } as const
    expect(
      breaches({}, [request({ request: 9, owners: ['z'], fingerprint: 'rome', answer })]),
    ).toEqual([])
  })

  test('an unknown outcome, where that is declared', () => {
    const unknown: SeenRecord = {
      ...TAKEN,
      state: 'unknown',
      owner: undefined,
      lockedUntil: undefined,
    }
    const planted = {
      finish: change(150, TAKEN, unknown, TAKEN),
      answered: undefined,
      replayed: undefined,
    }
    expect(breaches({ ...planted, finished: undefined, finishRow: undefined })).toEqual([])
  })
})

test('a history that was written is read as it was', () => {
  const history = new History()
  for (const event of Object.values(CLEAN)) history.add(event)
  expect(check(historyOf(history.text()), RULES)).toEqual([])
  const again = new History()
  for (const event of historyOf(history.text())) again.add(event)
  expect(again.digest()).toBe(history.digest())
})

/**
 * What a seed draws for its world: how large it is, how it is set up, and which faults it has, each with its own rate.
 * Most worlds have some faults and none of the others: what many rare faults hide from each other, one frequent one shows.
 */
import type { Random } from './random.ts'

/** The chance of each fault, for each thing that it can hit. */
export interface FaultRates {
  /** A statement that never arrives. */
  readonly lost: number
  /** One that is executed, and its answer never arrives. */
  readonly unanswered: number
  /** One that takes longer than a lease. */
  readonly delayed: number
  /** One that is executed once more, later. */
  readonly duplicated: number
  /** One that the database aborts. */
  readonly aborted: number
  /** A COMMIT that is executed after its client has given it up. */
  readonly late: number
  /** A process that dies, at a failpoint or anywhere. */
  readonly crash: number
  /** A process that stands still for longer than a lease. */
  readonly pause: number
  /** A handler that throws. */
  readonly thrown: number
  /** A call to another system: not sent, lost, unanswered, slow. */
  readonly call: number
  /** A request or its answer lost between client and process. */
  readonly client: number
}

/** Each happens so often a second, in the whole world. */
export interface FaultFrequencies {
  readonly crash: number
  readonly pause: number
  readonly jump: number
  readonly databaseJump: number
  readonly close: number
}

/** One world. */
export interface Mix {
  readonly nodes: number
  readonly keys: number
  readonly clientsOfKey: number
  readonly leaseMs: number
  readonly storeTimeoutMs: number
  readonly retentionMs: number
  readonly graceMs: number
  readonly waitMs: number
  readonly attemptMaxMs: number
  readonly maxAttempts: number
  readonly everyMs: number
  readonly backoffMaxMs: number
  readonly faultsMs: number
  readonly onError: 'resume' | 'store'
  /** Whether the handler ends with `run.finish` or returns its response. */
  readonly finishes: boolean
  /** Whether a resolver is registered for the call that is not repeatable. */
  readonly resolves: boolean
  /** Whether a transaction holds the file from BEGIN on, as SQLite's does, or from its first change of the record. */
  readonly locksEarly: boolean
  /** Whether there are failpoints: then fence and COMMIT are sent apart. */
  readonly failpoints: boolean
  /** The chance that a process has the new version of the operation. */
  readonly newVersion: number
  readonly skewMs: number
  readonly stepMs: number
  readonly faults: FaultRates
  readonly frequencies: FaultFrequencies
}

/** Draws a world. */
export function mixOf(random: Random): Mix {
  const leaseMs = Math.round(random.scaled(250, 3_000))
  const isShortLived = random.chance(0.4)
  const rate = (likely: number, max: number): number =>
    random.chance(likely) ? random.scaled(0.005, max) : 0
  const often = (likely: number, max: number): number =>
    random.chance(likely) ? random.scaled(0.1, max) : 0
  return {
    nodes: 2 + random.below(4),
    keys: 1 + random.below(3),
    clientsOfKey: 2 + random.below(5),
    leaseMs,
    storeTimeoutMs: Math.round(random.scaled(100, 3_000)),
    retentionMs: isShortLived ? Math.round(random.scaled(1_000, 6_000)) : 86_400_000,
    graceMs: Math.max(1_000, leaseMs),
    waitMs: random.chance(0.3) ? Math.round(random.scaled(50, 2_000)) : 0,
    attemptMaxMs: random.chance(0.2) ? 1_000 : 900_000,
    maxAttempts: random.chance(0.2) ? 2 : 1_000,
    everyMs: Math.round(random.scaled(800, 4_000)),
    backoffMaxMs: 1_000,
    faultsMs: random.between(2, 8) * leaseMs + 1_000,
    onError: !isShortLived && random.chance(0.2) ? 'store' : 'resume',
    finishes: random.chance(0.75),
    resolves: random.chance(0.6),
    locksEarly: random.chance(0.25),
    failpoints: random.chance(0.5),
    newVersion: random.chance(0.5) ? random.next() : 0,
    skewMs: random.chance(0.6) ? 600_000 : 0,
    stepMs: random.scaled(1, leaseMs / 2),
    faults: {
      lost: rate(0.4, 0.1),
      unanswered: rate(0.4, 0.1),
      delayed: rate(0.4, 0.1),
      duplicated: rate(0.4, 0.2),
      aborted: rate(0.3, 0.15),
      late: rate(0.4, 0.3),
      crash: rate(0.4, 0.1),
      pause: rate(0.4, 0.1),
      thrown: rate(0.4, 0.2),
      call: rate(0.5, 0.5),
      client: rate(0.5, 0.4),
    },
    frequencies: {
      crash: often(0.4, 3),
      pause: often(0.4, 3),
      jump: often(0.4, 3),
      databaseJump: often(0.2, 1),
      close: often(0.2, 1),
    },
  }
}

/**
 * How long a stage's transaction on PostgreSQL may wait, be busy with one statement, and be silent: by default no
 * longer than the lease. A process that was stopped inside a stage then loses its session, and the rows it has locked
 * are free for whoever took over. For the transaction alone: no session state, PgBouncer may stand in between. Why so:
 * ADR 0028.
 */
import { type Duration, milliseconds } from '../core/duration.ts'
import { ConfigError } from '../core/errors.ts'
import type { LimitName, Limiting, Limits, Rows, Statement } from './database.ts'
import { text } from './rows.ts'

/** Durations from 1 ms to 24 h; `false`: Pawl sets none. */
export interface StageTimeouts {
  /** Waiting for one lock (`lock_timeout`): the stage is then tried again. The lease by default. */
  readonly lock?: Duration | false
  /** One statement, its waits included (`statement_timeout`): the stage is then tried again. The lease by default. */
  readonly statement?: Duration | false
  /**
   * Between two statements (`idle_in_transaction_session_timeout`): the server then ends the session, and the stage is
   * tried again. The lease by default. None by default with Kysely, which may end the process when a session ends, and
   * with postgres.js, which before 3.4.9 may never tell.
   */
  readonly idle?: Duration | false
}

/** What a store of PostgreSQL may be told of this. */
export interface StageTimeoutsOptions {
  /**
   * Limits of a stage's transaction on PostgreSQL; `false`: none. Each is the lease by default (`createIdempotency`),
   * and one that is given counts as it is, also when it is longer. A shorter one of the role, database or server stays.
   */
  readonly stageTimeouts?: false | StageTimeouts
}

/** Pool and transactions of libraries that listen to the errors of their clients. */
export const LIMITED: Limiting = { withBegin: false, endsIdle: true }

const DURATION = { min: 1, max: 86_400_000 }
const SETTINGS = {
  lock: 'lock_timeout',
  statement: 'statement_timeout',
  idle: 'idle_in_transaction_session_timeout',
} as const satisfies Record<LimitName, string>
const NAMES = Object.keys(SETTINGS) as LimitName[]

/** Milliseconds. `'lease'`: that of the stage. */
type Asked = Readonly<Record<LimitName, number | 'lease' | 'none'>>

/** In milliseconds, 0 is none. A setting that the server does not know has no row, and is not set. */
const CURRENT: Statement = {
  text: `
    select name, setting
      from pg_settings
     where name in ('lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout')`,
  values: [],
}

/**
 * The limits of a store's stages. Undefined: none.
 *
 * @throws {@link ConfigError} not such options, or there is no PostgreSQL whose server could keep them
 */
export function stageLimits(
  limiting: Limiting | undefined,
  { stageTimeouts: given }: StageTimeoutsOptions,
): StageLimits | undefined {
  if (given === false) return undefined
  const stageTimeouts = given ?? {}
  if (limiting === undefined) {
    if (given === undefined) return undefined
    throw new ConfigError(
      'stageTimeouts: they are limits of a transaction on a server of PostgreSQL, and this store is on none. ' +
        'Leave them out; on MySQL and MariaDB set innodb_lock_wait_timeout for the sessions of the pool.',
    )
  }
  if (typeof stageTimeouts !== 'object' || (stageTimeouts as unknown) === null) {
    throw new ConfigError(
      `stageTimeouts: expected false or { lock, statement, idle }, got ${JSON.stringify(stageTimeouts)}.`,
    )
  }
  const msOf = (name: LimitName, byDefault: 'lease' | 'none'): Asked[LimitName] => {
    const value = stageTimeouts[name]
    if (value === undefined) return byDefault
    return value === false ? 'none' : milliseconds(`stageTimeouts.${name}`, value, DURATION)
  }
  return new StageLimits({
    lock: msOf('lock', 'lease'),
    statement: msOf('statement', 'lease'),
    idle: msOf('idle', limiting.endsIdle ? 'lease' : 'none'),
  })
}

/** What is asked for, and what the sessions of a store have by themselves. */
export class StageLimits {
  readonly #asked: Asked
  #own: ReadonlyMap<string, number> | undefined
  readonly #made = new Map<number, Limits | undefined>()

  constructor(asked: Asked) {
    this.#asked = asked
  }

  /** Those of a lease. Undefined: there is nothing to set. `'unread'`: {@link read} first. */
  of(leaseMs: number): Limits | undefined | 'unread' {
    const own = this.#own
    if (own === undefined) return 'unread'
    if (!this.#made.has(leaseMs)) this.#made.set(leaseMs, this.#limits(own, leaseMs))
    return this.#made.get(leaseMs)
  }

  /** Reads the limits that sessions begin with: once, since they are those of the role, the database or the pool. */
  async read(query: (statement: Statement) => Promise<Rows>): Promise<void> {
    const rows = await query(CURRENT)
    this.#own = new Map(rows.map((row) => [text(row, 'name'), Number(row['setting'])]))
  }

  #limits(own: ReadonlyMap<string, number>, leaseMs: number): Limits | undefined {
    const set = NAMES.flatMap((name) => {
      const asked = this.#asked[name]
      const ms = asked === 'lease' ? leaseMs : asked
      const has = own.get(SETTINGS[name])
      // A shorter one stays: it is somebody's decision about this server. 0 is none.
      if (ms === 'none' || has === undefined || (has > 0 && has <= ms)) return []
      return [{ of: name, name: SETTINGS[name], value: `'${String(ms)}ms'` }]
    })
    if (set.length === 0) return undefined
    const calls = set.map(({ name, value }) => `set_config('${name}', ${value}, true)`)
    return {
      of: set.map(({ of }) => of),
      each: set.map(({ name, value }) => `set local ${name} = ${value}`),
      together: { text: `select ${calls.join(', ')}`, values: [] },
    }
  }
}

/**
 * What to do about a stage that one of them may have ended, as the end of a sentence.
 *
 * @param limits - those that were set for it; what else there is was there before
 */
export function remedyFor(limit: LimitName, limits: Limits): string | undefined {
  return limits.of.includes(limit) ? REMEDIES[limit] : ELSEWHERE[limit]
}

const REMEDIES: Readonly<Record<LimitName, string>> = {
  lock: 'look at who holds the lock, or wait for it longer: stageTimeouts.lock of the store, by default the lease',
  statement:
    'make the statement faster, or let it take longer: stageTimeouts.statement of the store, by default the lease',
  idle:
    'look at why its connection is lost: a network, a restart, or that the stage sends nothing for longer than ' +
    'stageTimeouts.idle of the store, by default the lease; then keep what is not of the database out of it',
}

const ELSEWHERE: Readonly<Partial<Record<LimitName, string>>> = {
  lock: 'look at who holds the lock, or at lock_timeout of the role, the database or the connection',
  statement:
    'make the statement faster, or look at statement_timeout of the role, the database or the connection, and at ' +
    'who cancels statements',
}

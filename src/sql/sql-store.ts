/**
 * The store over SQL: the core's contract in terms of a database (three verbs) and a dialect (the statements).
 * Claims and autocommit changes are batched; raw driver errors of Pawl's own statements are translated here and go no
 * further. Protocol: docs/internals/protocol.md.
 */
import { StoreNotMigratedError, StoreUnavailableError } from '../core/errors.ts'
import {
  AbortedError,
  type Backlog,
  type ClaimInput,
  type ClaimReply,
  type CommitOptions,
  type Erased,
  type EraseInput,
  type ForgetInput,
  type Hold,
  type ResetInput,
  type RestartInput,
  type Seen,
  type Store,
  type TakeOverInput,
  type Write,
} from '../core/store.ts'
import type { FoundRecord, StoppedState, WholeRecord } from '../core/record.ts'
import { sqlBacklog } from './backlog.ts'
import { Batch } from './batch.ts'
import type { Database, Limits, Rows, Statement } from './database.ts'
import type { Dialect, StageTexts } from './dialect.ts'
import { eraseNext } from './erase.ts'
import { fenceOf, lockFirstOf, mustHold } from './fence.ts'
import { check, migrate } from './migrate.ts'
import {
  besideStages,
  type OutsideOptions,
  OutsideWatch,
  refusesOutside,
  type RootHandles,
} from './outside.ts'
import { throughPooler } from './prepared.ts'
import { number, recordOf, text, wholeRecordOf } from './rows.ts'
import { type StageLimits, stageLimits, type StageTimeoutsOptions } from './stage-timeouts.ts'
import type { Changes, Steps } from './steps.ts'
import { fromWork, Translation } from './translate.ts'

const BATCH_SIZE_MAX = 256
/** Characters: what a parameter of one statement may weigh before latency for the others counts more. */
const BATCH_WEIGHT_MAX = 4_194_304
const WAITING_MAX = 10_000

/** What every SQL store may be told. */
export interface SqlStoreOptions extends OutsideOptions {
  /** The table: `name` or `schema.name`. `'idempotency_key'` by default. */
  readonly table?: string
  /** The clock by which a statement counts as stuck; for simulation. @internal */
  readonly now?: () => number
}

/** What a store may be told that may be on PostgreSQL. */
export interface PostgresStoreOptions extends SqlStoreOptions, StageTimeoutsOptions {}

/**
 * A {@link Store} of a database and a dialect.
 *
 * @param roots - what the application may take for the `tx` of a stage by mistake
 */
export function sqlStore<Tx, Isolation extends string>(
  database: Database<Tx, Isolation>,
  dialect: Dialect,
  options: PostgresStoreOptions = {},
  roots: RootHandles = () => [],
): Store<Tx, Isolation> {
  if (!refusesOutside(options)) return new SqlStore(database, dialect, options)
  const watch = new OutsideWatch<Tx>(roots)
  return new SqlStore(besideStages(database), dialect, options, watch)
}

class SqlStore<Tx, Isolation extends string> implements Store<Tx, Isolation> {
  readonly #database: Database<Tx, Isolation>
  readonly #dialect: Dialect
  readonly #watch: OutsideWatch<Tx> | undefined
  readonly #limits: StageLimits | undefined
  readonly #errors: Translation
  readonly #table: string
  readonly #texts: StageTexts
  readonly #steps: Steps
  readonly #claims: Batch<ClaimInput, ClaimReply>
  readonly #write: (hold: Hold, write: Write) => Promise<boolean>
  readonly #finish: (hold: Hold, write: Write) => Promise<boolean>
  readonly backlog: Backlog

  constructor(
    database: Database<Tx, Isolation>,
    dialect: Dialect,
    options: PostgresStoreOptions,
    watch?: OutsideWatch<Tx>,
  ) {
    this.#database = database
    this.#dialect = dialect
    this.#watch = watch
    this.#limits = stageLimits(database.limiting, options)
    this.#table = dialect.quote(options.table ?? 'idempotency_key')
    this.#texts = dialect.stage(this.#table)
    this.#steps = dialect.steps(this.#table, {
      query: (statement) => database.query(statement),
      transaction: (work) =>
        throughPooler(() =>
          database.transaction({ isolation: undefined }, async (tx) => ({
            value: await work((statement) => database.within(tx, statement)),
          })),
        ),
    })
    this.#errors = new Translation(dialect, this.#table)
    const limits = {
      failsTogether: meansAll,
      now: options.now ?? (() => performance.now()),
      sizeMax: BATCH_SIZE_MAX,
      weightMax: BATCH_WEIGHT_MAX,
      waitingMax: WAITING_MAX,
    }
    this.#claims = new Batch({
      ...limits,
      doing: 'claiming',
      // The rest is bounded by what a request's head may hold.
      weigh: ({ task }) => task?.input.length ?? 0,
      run: (items) => this.#claimAll(items),
    })
    const batched = (doing: string, changes: Changes) => {
      const batch = new Batch<unknown, boolean>({
        ...limits,
        doing,
        weigh: (change) => changes.weigh(change),
        run: (items) => this.#asked(doing, changes.run(items)),
      })
      return (hold: Hold, write: Write) => batch.add(changes.ready(hold, write))
    }
    this.#write = batched('recording', this.#steps.writes)
    this.#finish = batched('finishing', this.#steps.finishes)
    this.backlog = sqlBacklog(this.#steps, (doing, answer) => this.#asked(doing, answer))
  }

  async migrate(): Promise<void> {
    try {
      await migrate({ database: this.#database, dialect: this.#dialect, table: this.#table })
    } catch (error) {
      throw this.#errors.ofCall('migrating', error)
    }
  }

  async check(): ReturnType<Store<Tx>['check']> {
    try {
      return await check({ database: this.#database, dialect: this.#dialect, table: this.#table })
    } catch (error) {
      throw this.#errors.ofCall('checking', error)
    }
  }

  claim(input: ClaimInput): Promise<ClaimReply> {
    return this.#claims.add(input)
  }

  async takeOver(input: TakeOverInput): ReturnType<Store<Tx>['takeOver']> {
    return recordIn(await this.#asked('taking over', this.#steps.takeOver(input)))
  }

  async stop(seen: Seen, to: StoppedState): Promise<boolean> {
    const rows = await this.#asked('stopping a record', this.#steps.stop(seen, to))
    return rows.length === 1
  }

  async restart(input: RestartInput): Promise<boolean> {
    const rows = await this.#asked('restarting a record', this.#steps.restart(input))
    return rows.length === 1
  }

  async reset(input: ResetInput): ReturnType<Store<Tx>['reset']> {
    return recordIn(await this.#asked('starting anew', this.#steps.reset(input)))
  }

  async commit<R>(
    hold: Hold,
    options: CommitOptions<Isolation>,
    work: (tx: Tx) => Promise<{ readonly value: R; readonly write: Write }>,
  ): Promise<R> {
    const database = this.#database
    const { isolation, leaseMs } = options
    const own = leaseMs === undefined ? undefined : this.#limits?.of(leaseMs)
    const limits = own === 'unread' ? await this.#readLimits(leaseMs) : own
    let step = 'a stage'
    try {
      return await database.transaction({ isolation, limits }, async (tx) => {
        if (this.#locksFirst(isolation)) await this.#held(tx, lockFirstOf(this.#texts, hold))
        // Behind the lock: it takes a snapshot, which a heartbeat could make too old for the lock.
        if (limits !== undefined && database.limiting?.withBegin === false) {
          await database.within(tx, limits.together)
        }
        const { value, write } = await fromWork(this.#worked(tx, work, hold.id))
        step = write.kind === 'advance' ? write.to : write.kind
        const fence = fenceOf(this.#texts, hold, write)
        if (options.fenced === undefined) return { value, last: fence }
        await this.#held(tx, fence)
        await options.fenced()
        return { value }
      })
    } catch (error) {
      throw this.#errors.ofCommit(error, { ...hold, step }, limits)
    }
  }

  async transaction<R>(
    options: CommitOptions<Isolation>,
    work: (tx: Tx) => Promise<R>,
  ): Promise<R> {
    try {
      return await this.#database.transaction({ isolation: options.isolation }, async (tx) => ({
        value: await fromWork(this.#worked(tx, work)),
      }))
    } catch (error) {
      throw this.#errors.ofTransaction(error, { step: 'a stage' })
    }
  }

  write(hold: Hold, write: Write): Promise<boolean> {
    return write.kind === 'finish' ? this.#finish(hold, write) : this.#write(hold, write)
  }

  async reread(id: string): ReturnType<Store<Tx>['reread']> {
    return recordIn(await this.#asked('reading a record again', this.#steps.reread(id)))
  }

  async find(id: string): Promise<WholeRecord | undefined> {
    const [row] = await this.#asked('finding a record', this.#steps.find(id))
    return row && wholeRecordOf(row)
  }

  async heartbeat(holds: readonly Hold[], leaseMs: number): Promise<readonly Hold[]> {
    if (holds.length === 0) return []
    const rows = await this.#asked('renewing leases', this.#steps.heartbeat(holds, leaseMs))
    return rows.map((row) => ({
      id: text(row, 'id'),
      owner: text(row, 'owner'),
      attempt: number(row, 'attempt'),
    }))
  }

  async reap(limit: number, graceMs: number, tombstoneMs = 0): Promise<number> {
    return await this.#asked('reaping', this.#steps.reap(limit, graceMs, tombstoneMs))
  }

  async forget(seen: ForgetInput): Promise<boolean> {
    const rows = await this.#asked('forgetting a record', this.#steps.forget(seen))
    return rows.length === 1
  }

  async erase(input: EraseInput): Promise<Erased> {
    return await eraseNext(this.#steps, input, (answer) => this.#asked('erasing', answer))
  }

  async #claimAll(items: readonly ClaimInput[]): Promise<readonly ClaimReply[]> {
    const { inserted, found } = await this.#asked('claiming', this.#steps.claim(items))
    const records = new Map<string, FoundRecord>()
    return items.map(({ id, owner }): ClaimReply => {
      const ours = inserted.get(id)
      // Two claims of one id in one batch: one row was inserted, and it names its owner.
      if (ours?.['owner'] === owner) return { kind: 'inserted', execution: text(ours, 'execution') }
      let record = records.get(id)
      if (record === undefined) {
        const row = found.get(id)
        if (row === undefined) return { kind: 'nothing' }
        records.set(id, (record = recordOf(row)))
      }
      return { kind: 'found', record }
    })
  }

  async #readLimits(leaseMs = 0): Promise<Limits | undefined> {
    const reading = this.#limits?.read((statement) => this.#database.query(statement))
    if (reading !== undefined) await this.#asked('reading the time limits of its sessions', reading)
    const limits = this.#limits?.of(leaseMs)
    return limits === 'unread' ? undefined : limits
  }

  /** The application's part. */
  #worked<R>(tx: Tx, work: (tx: Tx) => Promise<R>, id?: string): Promise<R> {
    return this.#watch === undefined ? work(tx) : this.#watch.over(tx, work, id)
  }

  #locksFirst(isolation: Isolation | undefined): boolean {
    if (this.#database.beginsDeferred === true) return true
    return isolation !== undefined && this.#dialect.isSnapshot(isolation)
  }

  /** A statement in an open transaction that matches the record as it was seen. */
  #held(tx: Tx, statement: Statement): Promise<void> {
    return mustHold(statement, (one) => this.#database.within(tx, one), this.#dialect)
  }

  async #asked<R>(doing: string, answer: Promise<R>): Promise<R> {
    try {
      return await answer
    } catch (error) {
      throw this.#errors.ofStatement(doing, error)
    }
  }
}

function recordIn(rows: Rows) {
  return rows[0] && recordOf(rows[0])
}

/** No answer, an abort, a missing table: asking item by item would not help. Anything else may be one item's own. */
function meansAll(error: unknown): boolean {
  return (
    error instanceof StoreUnavailableError ||
    error instanceof AbortedError ||
    error instanceof StoreNotMigratedError
  )
}

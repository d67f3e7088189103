/**
 * The store over SQL: the core's contract in terms of a database (three verbs) and a dialect (the statements).
 * Claims and autocommit changes are batched; raw driver errors of Pawl's own statements are translated here and go no
 * further. Protocol: docs/internals/protocol.md.
 */
import { StoreFailedError, StoreNotMigratedError, StoreUnavailableError } from '../core/errors.ts'
import { stagesText } from '../core/record.ts'
import {
  AbortedError,
  type ClaimInput,
  type ClaimReply,
  type CommitOptions,
  type Hold,
  type Seen,
  type Store,
  type Write,
} from '../core/store.ts'
import { Batch } from './batch.ts'
import type { Database, Rows, Statement } from './database.ts'
import type { Dialect, StatementTexts } from './dialect.ts'
import { check, migrate } from './migrate.ts'
import { batchText, type ChangeText, changeText, claimJson } from './payload.ts'
import { number, recordOf, text } from './rows.ts'
import { fromWork, Translation } from './translate.ts'

const BATCH_SIZE_MAX = 256
/** Characters: what a parameter of one statement may weigh before latency for the others counts more. */
const BATCH_WEIGHT_MAX = 4_194_304
const WAITING_MAX = 10_000
/** How long a reread waits for a commit that is still on its way before it counts as unanswered. */
const REREAD_LOCK_WAIT_MS = 2_000

/** What every SQL store may be told. */
export interface SqlStoreOptions {
  /** The table: `name` or `schema.name`. `'idempotency_key'` by default. */
  readonly table?: string
  /** The clock by which a statement counts as stuck; for simulation. @internal */
  readonly now?: () => number
}

/** A {@link Store} of a database and a dialect. */
export function sqlStore<Tx, Isolation extends string>(
  database: Database<Tx, Isolation>,
  dialect: Dialect,
  options: SqlStoreOptions = {},
): Store<Tx, Isolation> {
  return new SqlStore(database, dialect, options)
}

class SqlStore<Tx, Isolation extends string> implements Store<Tx, Isolation> {
  readonly #database: Database<Tx, Isolation>
  readonly #dialect: Dialect
  readonly #errors: Translation
  readonly #table: string
  readonly #texts: StatementTexts
  readonly #claims: Batch<ClaimInput, ClaimReply>
  readonly #writes: Batch<ChangeText, boolean>
  readonly #finishes: Batch<ChangeText, boolean>

  constructor(database: Database<Tx, Isolation>, dialect: Dialect, options: SqlStoreOptions) {
    this.#database = database
    this.#dialect = dialect
    this.#table = dialect.quote(options.table ?? 'idempotency_key')
    this.#texts = dialect.statements(this.#table)
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
      weigh: () => 0, // Bounded by what a request's head may hold.
      run: (items) => this.#claimAll(items),
    })
    const changes = (doing: string, statement: string) =>
      new Batch<ChangeText, boolean>({
        ...limits,
        doing,
        weigh: ({ text }) => text.length,
        run: (items) => this.#changeAll(doing, statement, items),
      })
    this.#writes = changes('recording', this.#texts.write)
    this.#finishes = changes('finishing', this.#texts.finish)
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

  async takeOver(input: Parameters<Store<Tx>['takeOver']>[0]): ReturnType<Store<Tx>['takeOver']> {
    const { id, attempt, owner, leaseMs, revision } = input
    const values = [id, attempt, owner, leaseMs, revision]
    return await this.#one('taking over', this.#texts.takeOver, values)
  }

  async stopUnknown({ id, attempt, revision }: Seen): Promise<boolean> {
    const values = [id, attempt, revision]
    const rows = await this.#query('stopping a record', this.#texts.stopUnknown, values)
    return rows.length === 1
  }

  async reset(input: Parameters<Store<Tx>['reset']>[0]): ReturnType<Store<Tx>['reset']> {
    const { id, attempt, owner, leaseMs, fingerprint, method, path, retentionMs } = input
    const values = [
      id,
      attempt,
      owner,
      leaseMs,
      fingerprint,
      method ?? null,
      path ?? null,
      retentionMs,
    ]
    return await this.#one('starting anew', this.#texts.reset, values)
  }

  async commit<R>(
    hold: Hold,
    options: CommitOptions<Isolation>,
    work: (tx: Tx) => Promise<{ readonly value: R; readonly write: Write }>,
  ): Promise<R> {
    const database = this.#database
    let step = 'a stage'
    try {
      return await database.transaction({ isolation: options.isolation }, async (tx) => {
        if (options.isolation !== undefined && this.#dialect.isSnapshot(options.isolation)) {
          await database.within(tx, this.#lockFirst(hold))
        }
        const { value, write } = await fromWork(work(tx))
        step = write.kind === 'advance' ? write.to : write.kind
        const fence = this.#fence(hold, write)
        if (options.fenced === undefined) return { value, last: fence }
        await database.within(tx, fence)
        await options.fenced()
        return { value }
      })
    } catch (error) {
      throw this.#errors.ofCommit(error, { ...hold, step })
    }
  }

  async transaction<R>(
    options: CommitOptions<Isolation>,
    work: (tx: Tx) => Promise<R>,
  ): Promise<R> {
    try {
      return await this.#database.transaction({ isolation: options.isolation }, async (tx) => ({
        value: await fromWork(work(tx)),
      }))
    } catch (error) {
      throw this.#errors.ofTransaction(error, { step: 'a stage' })
    }
  }

  write(hold: Hold, write: Write): Promise<boolean> {
    return (write.kind === 'finish' ? this.#finishes : this.#writes).add(changeText(hold, write))
  }

  async reread(id: string): ReturnType<Store<Tx>['reread']> {
    try {
      const rows = await this.#database.transaction({ isolation: undefined }, async (tx) => {
        const wait = { text: this.#texts.limitLockWait, values: [String(REREAD_LOCK_WAIT_MS)] }
        await this.#database.within(tx, wait)
        return {
          value: await this.#database.within(tx, { text: this.#texts.reread, values: [id] }),
        }
      })
      return rows[0] && recordOf(rows[0])
    } catch (error) {
      throw this.#errors.ofStatement('reading a record again', error)
    }
  }

  async heartbeat(holds: readonly Hold[], leaseMs: number): Promise<readonly Hold[]> {
    const rows = await this.#query('renewing leases', this.#texts.heartbeat, [
      JSON.stringify(holds),
      leaseMs,
    ])
    return rows.map((row) => ({
      id: text(row, 'id'),
      owner: text(row, 'owner'),
      attempt: number(row, 'attempt'),
    }))
  }

  async reap(limit: number, graceMs: number): Promise<number> {
    return (await this.#query('reaping', this.#texts.reap, [limit, graceMs])).length
  }

  async #claimAll(items: readonly ClaimInput[]): Promise<readonly ClaimReply[]> {
    const asked = JSON.stringify(items.map(claimJson))
    const inserted = byId(await this.#query('claiming', this.#texts.claim, [asked]))
    // Two claims of one id in one batch: one row was inserted, and it names its owner.
    const isOurs = ({ id, owner }: ClaimInput): boolean => inserted.get(id)?.['owner'] === owner
    const lost = items.filter((item) => !isOurs(item))
    const found = lost.length === 0 ? inserted : await this.#look(lost)
    return items.map((item): ClaimReply => {
      const row = isOurs(item) ? inserted.get(item.id) : found.get(item.id)
      if (row === undefined) return { kind: 'nothing' }
      if (isOurs(item)) return { kind: 'inserted', execution: text(row, 'execution') }
      return { kind: 'found', record: recordOf(row) }
    })
  }

  /** A new statement: the one that lost its insert does not see the row that won. */
  async #look(lost: readonly ClaimInput[]): Promise<ReadonlyMap<string, Rows[number]>> {
    const ids = JSON.stringify([...new Set(lost.map(({ id }) => id))])
    return byId(await this.#query('looking at records', this.#texts.look, [ids]))
  }

  async #changeAll(
    doing: string,
    statement: string,
    items: readonly ChangeText[],
  ): Promise<readonly boolean[]> {
    const rows = await this.#query(doing, statement, [batchText(items)])
    const changed = new Set(rows.map((row) => number(row, 'at')))
    return items.map(({ at }) => changed.has(at))
  }

  #lockFirst({ id, owner, attempt }: Hold): Statement {
    return { text: this.#texts.lockFirst, values: [id, owner, attempt] }
  }

  #fence({ id, owner, attempt }: Hold, write: Write): Statement {
    switch (write.kind) {
      case 'advance': {
        const { from, to, stages, leaseMs, revision } = write
        return {
          text: this.#texts.fenceAdvance,
          values: [id, owner, attempt, from, to, stagesText(stages), leaseMs, revision],
        }
      }
      case 'finish': {
        const { from, outcome, retentionMs, revision } = write
        const { status, headers, body } = outcome
        return {
          text: this.#texts.fenceFinish,
          values: [
            id,
            owner,
            attempt,
            from,
            status,
            JSON.stringify(headers),
            body ?? null,
            retentionMs,
            revision,
          ],
        }
      }
      case 'journal':
      case 'unknown':
      case 'release':
        throw new StoreFailedError(
          `committing with ${write.kind}`,
          new Error('only a stage or finish has a transaction'),
        )
    }
  }

  async #one(doing: string, statement: string, values: readonly unknown[]) {
    const [row] = await this.#query(doing, statement, values)
    return row && recordOf(row)
  }

  async #query(doing: string, statement: string, values: readonly unknown[]): Promise<Rows> {
    try {
      return await this.#database.query({ text: statement, values })
    } catch (error) {
      throw this.#errors.ofStatement(doing, error)
    }
  }
}

/** No answer, an abort, a missing table: asking item by item would not help. Anything else may be one item's own. */
function meansAll(error: unknown): boolean {
  return (
    error instanceof StoreUnavailableError ||
    error instanceof AbortedError ||
    error instanceof StoreNotMigratedError
  )
}

function byId(rows: Rows): ReadonlyMap<string, Rows[number]> {
  return new Map(rows.map((row) => [text(row, 'id'), row]))
}

/**
 * The database of a simulated world: SQLite in memory, through the store's own way to it, on the world's clock. It sees
 * what no client can: what every commit found and what it changed, which is what the checker judges by.
 */
import Sqlite from 'better-sqlite3'
import type { Hold } from '../../../src/core/store.ts'
import type { Closing, Rows, Statement } from '../../../src/sql/database.ts'
import { sqlite, sqliteTexts, type SqliteTexts } from '../../../src/sql/sqlite.ts'
import { sqlStore } from '../../../src/sql/sql-store.ts'
import { syncSqlite, type SyncSqliteLike } from '../../../src/sql/sync-sqlite.ts'
import type { CommitEvent, History, SeenOutcome, SeenRecord } from '../history.ts'

const TABLE = 'idempotency_key'
/** The store's statements. */
export const TEXTS: SqliteTexts = sqliteTexts(sqlite.quote(TABLE))
/** 2023-11-14: whole seconds, so that a clock that only grows stays exact. */
const CLOCK_START = 1_700_000_000_000

/** The name of a statement of the store's. */
export type StatementName = keyof SqliteTexts
const NAMES = new Map(Object.entries(TEXTS).map(([name, text]) => [text, name as StatementName]))
const NAMES_A_HOLDER: ReadonlySet<unknown> = new Set(['write', 'fenceAdvance', 'fenceFinish'])
const RETURNS = /\breturning\b/
const CHANGES = /^\s*(?:insert|update|delete)\b/i

const RECORDS = `
  select id, cast(created_at as text) as execution, state, owner, attempt, revision, recovery_point, stages,
         locked_until, expires_at, response_code, response_headers, cast(response_body as text) as body
    from ${TABLE} order by id`
const HOLDER = `
  select owner, attempt, cast(created_at as text) as execution from ${TABLE} where id = $1`
/** A row of the application's own: id, step, owner. */
export const EFFECT: string = `
  insert into effect (id, execution, step, owner)
  values ($1, (select cast(created_at as text) from ${TABLE} where id = $1), $2, $3)`
const EFFECTS = 'select id, execution, step, owner from effect order by rowid'

/** One process-wide connection: opening one for each world would cost more than the world. */
let connection:
  { readonly db: Sqlite.Database; readonly prepared: Map<string, Sqlite.Statement> } | undefined
let clockNow = (): number => CLOCK_START

async function connected(): Promise<NonNullable<typeof connection>> {
  if (connection !== undefined) return connection
  const db = new Sqlite(':memory:')
  // The same all through a statement, as SQLite's own is.
  db.function('unixepoch', { varargs: true, deterministic: true }, () => clockNow() / 1_000)
  await sqlStore(syncSqlite(db), sqlite).migrate()
  db.exec('create table effect (id text, execution text, step text, owner text)')
  connection = { db, prepared: new Map() }
  return connection
}

/** An open transaction, and the only one. */
export interface OpenTransaction {
  run(statement: Statement): Promise<Rows>
  effect(hold: Hold, step: string): Promise<void>
  commit(last: Statement | undefined): Promise<void>
  rollBack(): void
}

/** What a world is given. */
export interface ServerOptions {
  /** Virtual milliseconds. */
  readonly now: () => number
  readonly history: History
  /** A planted defect: another statement than the store's. */
  readonly rewrite?: ((name: StatementName, statement: Statement) => Statement) | undefined
}

/** A database. */
export class Server {
  readonly #options: ServerOptions
  readonly #db: Sqlite.Database
  readonly #prepared: Map<string, Sqlite.Statement>
  readonly #verbs: ReturnType<typeof syncSqlite<SyncSqliteLike>>
  #clock = CLOCK_START
  #records: ReadonlyMap<string, Row> = new Map()
  /** Of the transaction that is open: who says that he holds which record, and what the records were then. */
  #by = new Map<string, Hold>()
  #commits: CommitEvent[] = []
  #effects: string[] = []
  #isTouched = false

  private constructor(options: ServerOptions, { db, prepared }: NonNullable<typeof connection>) {
    this.#options = options
    this.#db = db
    this.#prepared = prepared
    clockNow = () => this.clock()
    if (db.inTransaction) db.exec('rollback')
    db.exec(`delete from ${TABLE}; delete from ${TABLE}_backlog; delete from effect`)
    this.#verbs = syncSqlite(this.#watched())
  }

  static async open(options: ServerOptions): Promise<Server> {
    return new Server(options, await connected())
  }

  /** The database's own, in whole milliseconds. */
  clock(): number {
    return this.#clock + Math.floor(this.#options.now())
  }

  /** Somebody sets the clock: forward, since one that is set back only makes leases longer. */
  jump(ms: number): void {
    this.#clock += ms
  }

  get isIdle(): boolean {
    return !this.#db.inTransaction
  }

  /** Whether every record has come to its end. */
  isSettled(terminal: readonly SeenRecord['state'][]): boolean {
    return [...this.#records.values()].every(
      ({ state }) => state === 'finished' || terminal.includes(state),
    )
  }

  /** A statement on its own. */
  async query(statement: Statement): Promise<Rows> {
    if (!CHANGES.test(statement.text)) return await this.#verbs.query(this.#about(statement).sent)
    const open = await this.open()
    let rows: Rows
    try {
      rows = await open.run(statement)
    } catch (error) {
      open.rollBack()
      throw error
    }
    await open.commit(undefined)
    return rows
  }

  /** Waits for its turn: there is one writer at a time. */
  open(): Promise<OpenTransaction> {
    return new Promise((resolve, reject) => {
      const done = this.#verbs.transaction({ isolation: undefined }, (db) => {
        return new Promise<Closing<void>>((close, abort) => {
          let isOver = false
          const inside = (): void => {
            if (isOver) throw new Error('the transaction is over')
          }
          this.#forget()
          resolve({
            run: async (statement) => {
              inside()
              const { sent, note } = this.#about(statement)
              const rows = await this.#verbs.within(db, sent)
              // What matched nothing wrote nothing; where nothing is returned, nobody knows.
              if (rows.length > 0) note()
              if (rows.length > 0 || !RETURNS.test(sent.text)) this.#isTouched = true
              return rows
            },
            effect: async ({ id, owner }, step) => {
              inside()
              this.#effects.push(step)
              await this.#verbs.within(db, { text: EFFECT, values: [id, step, owner] })
            },
            commit: async (last) => {
              inside()
              isOver = true
              const about = last && this.#about(last)
              about?.note()
              if (about !== undefined) this.#isTouched = true
              close({ value: undefined, ...(about && { last: about.sent }) })
              await done
            },
            rollBack: () => {
              isOver = true
              abort(new Error('rolled back'))
            },
          })
        })
      })
      done.catch(reject)
    })
  }

  /** The table of effects, into the history. */
  tellEffects(): void {
    for (const row of this.#statement(EFFECTS).all() as Record<string, string>[]) {
      const { id = '', execution = '', step = '', owner } = row
      this.#options.history.add({ op: 'effect', id, execution: execution ?? '', step, owner })
    }
  }

  /** What is sent for a statement, and what is known of it: who says that he holds the record, and who does. */
  #about(statement: Statement): { readonly sent: Statement; readonly note: () => void } {
    const name = NAMES.get(statement.text)
    if (name === undefined) return { sent: statement, note: () => undefined }
    const sent = this.#options.rewrite?.(name, statement) ?? statement
    if (!NAMES_A_HOLDER.has(name)) return { sent, note: () => undefined }
    const [id, given, attempt] = statement.values as [string, string, number]
    const owner = ownerOf({ owner: given }) ?? ''
    const commit = name === 'write' ? undefined : this.#commitOf(id, { owner, attempt })
    const note = (): void => {
      this.#by.set(id, { id, owner, attempt })
      if (commit !== undefined) this.#commits.push(commit)
    }
    return { sent, note }
  }

  #commitOf(id: string, hold: CommitEvent['hold']): CommitEvent {
    const row = this.#statement(HOLDER.replace('$1', '?')).get(id) as Row | undefined
    return {
      op: 'commit',
      at: this.#options.now(),
      id,
      execution: row?.execution,
      effects: [...this.#effects],
      hold,
      current: row && { owner: ownerOf(row) ?? '', attempt: row.attempt },
    }
  }

  /** What was committed, by what it changed. */
  #tellChanges(): void {
    const { history, now } = this.#options
    const rows = this.#statement(RECORDS).all() as Row[]
    const after = new Map(rows.map((row) => [row.id, row]))
    for (const id of new Set([...this.#records.keys(), ...after.keys()])) {
      const [old, young] = [this.#records.get(id), after.get(id)]
      if (old !== undefined && young !== undefined && isSame(old, young)) {
        after.set(id, old)
        continue
      }
      const by = this.#by.get(id)
      history.add({
        op: 'change',
        at: now(),
        clock: this.clock(),
        id,
        by: by && { owner: by.owner, attempt: by.attempt },
        before: old && seenOf(old),
        after: young && seenOf(young),
      })
    }
    for (const commit of this.#commits) history.add({ ...commit, at: now() })
    this.#records = after
    this.#forget()
  }

  #forget(): void {
    this.#by.clear()
    this.#commits = []
    this.#effects = []
    this.#isTouched = false
  }

  #statement(text: string): Sqlite.Statement {
    let prepared = this.#prepared.get(text)
    if (prepared === undefined) {
      prepared = this.#db.prepare(text)
      this.#prepared.set(text, prepared)
    }
    return prepared
  }

  /** The connection, as the store is given it. */
  #watched(): SyncSqliteLike {
    const db = this.#db
    return {
      get inTransaction() {
        return db.inTransaction
      },
      exec: (text) => {
        // Nobody else has this file: there is nothing to wait for.
        if (text.startsWith('pragma')) return
        this.#statement(text).run()
        if (text === 'commit' && this.#isTouched) this.#tellChanges()
      },
      prepare: (text) => this.#statement(text),
    }
  }
}

/** A record as SQLite has it. */
interface Row {
  readonly id: string
  readonly execution: string
  readonly state: SeenRecord['state']
  readonly owner: string | null
  readonly attempt: number
  readonly revision: number
  readonly recovery_point: string
  readonly stages: string
  readonly locked_until: number | null
  readonly expires_at: number
  readonly response_code: number | null
  readonly response_headers: string | null
  readonly body: string | null
}

function isSame(a: Row, b: Row): boolean {
  return (
    a.revision === b.revision &&
    a.attempt === b.attempt &&
    a.owner === b.owner &&
    a.state === b.state &&
    a.locked_until === b.locked_until &&
    a.expires_at === b.expires_at &&
    a.execution === b.execution &&
    a.stages === b.stages &&
    a.recovery_point === b.recovery_point &&
    a.body === b.body
  )
}

function seenOf(row: Row): SeenRecord {
  const stages = JSON.parse(row.stages) as Record<string, { status?: 'done' | 'sent' }>
  const steps = Object.entries(stages).map(([name, { status }]) => [name, status ?? 'done'])
  return {
    execution: row.execution,
    state: row.state,
    owner: ownerOf(row),
    attempt: row.attempt,
    revision: row.revision,
    recoveryPoint: row.recovery_point,
    steps: Object.fromEntries(steps) as SeenRecord['steps'],
    lockedUntil: row.locked_until ?? undefined,
    expiresAt: row.expires_at,
    outcome:
      row.response_code === null
        ? undefined
        : outcomeOf(row.response_code, row.response_headers ?? '[]', row.body ?? ''),
  }
}

/** A planted defect may put something behind a nonce; whose it is stays the same. */
function ownerOf({ owner }: Pick<Row, 'owner'>): string | undefined {
  return owner?.split('~')[0]
}

/** An outcome as a history has it. A body of the simulation is JSON that says for whom it was made. */
export function outcomeOf(status: number, headers: string, body: string): SeenOutcome {
  const said = JSON.parse(body) as { scope?: string; fingerprint?: string }
  const { scope, fingerprint } = said
  const madeFor =
    scope === undefined || fingerprint === undefined ? undefined : { scope, fingerprint }
  return { status, body, headers, madeFor }
}

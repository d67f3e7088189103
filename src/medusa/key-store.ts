/** The table of the service over TypeORM: statements on a manager, whatever transaction it is in, and plain rows. */
import type { EntityManager } from 'typeorm'
import { systemRuntime } from '../core/runtime.ts'
import { Batch } from '../sql/batch.ts'
import type { Rows, Statement } from '../sql/database.ts'
import type { Failure } from '../sql/dialect.ts'
import { type KeyColumn, KEY_COLUMNS, type KeyTable, keyTable } from '../sql/key-table.ts'
import { postgres } from '../sql/postgres.ts'
import { text } from '../sql/rows.ts'
import { joinedOf } from '../sql/joined-transaction.ts'
import type { RunnerQueries } from '../sql/runner-queries.ts'
import type { IdempotencyKey } from './idempotency-key.ts'
import type { Hold, HoldsStore } from './holds.ts'
import type { Settings } from './options.ts'
import { keyId } from './ulid.ts'

/** What is known of a key's lease. */
export interface SeenKey {
  readonly key: Readonly<Pick<IdempotencyKey, 'id' | 'idempotency_key' | 'recovery_point'>>
  readonly owner: string | undefined
  readonly attempt: number
  readonly revision: number
  /** Nobody holds it. */
  readonly lapsed: boolean
  /** Where its row is, until somebody changes it. */
  readonly place: string
}

/** A key as it is stored, and its lease. */
export interface StoredKey extends SeenKey {
  /** Plain and the caller's own: routes write on it. */
  readonly key: IdempotencyKey
}

/** A key as it is stored, and where. */
export type PlacedKey = Pick<StoredKey, 'key' | 'place'>

/** A change whose answer may travel with COMMIT's. */
export interface Advanced {
  /** The key as it is now; for after the transaction, where that is not the caller's. */
  stored(): Promise<PlacedKey>
}

/** What a new key is made of. */
export interface NewKey {
  readonly key: string
  readonly method: string | undefined
  readonly params: Record<string, unknown> | undefined
  readonly path: string | undefined
}

/** The values an update may set. */
export type KeyValues = Partial<Record<KeyColumn, unknown>>

/** A new key, as insertAll reads it. */
interface Claim {
  readonly id: string
  readonly key: string
  readonly method: string | null
  readonly params: string | null
  readonly path: string | null
  readonly owner: string | null
  readonly lease_ms: number
  readonly retention_ms: number
}

/** Asking key by key, one after the other, would not help; where one has to wait, each goes its own way. */
const TOGETHER: ReadonlySet<Failure> = new Set(['aborted', 'unavailable', 'not_migrated'])

/** So long many wait together for a key that an open transaction has inserted. */
const CLAIM_WAIT_MS = 50

/** One table of keys. */
export class KeyStore implements HoldsStore {
  readonly #claims = new Batch<Claim, PlacedKey | undefined>({
    doing: 'claiming',
    run: (claims) => this.#insertAll(claims),
    failsTogether: (error) => TOGETHER.has(postgres.failureOf(error)),
    sizeMax: 100,
    weigh: ({ params }) => params?.length ?? 0,
    weightMax: 1_000_000,
    now: () => systemRuntime.now(),
    waitingMax: 10_000,
  })
  readonly #queries: RunnerQueries
  readonly #texts: KeyTable

  /** @param hasPlaces - as {@link keyTable} */
  constructor(queries: RunnerQueries, table: string, hasPlaces: boolean) {
    this.#queries = queries
    this.#texts = keyTable(table, hasPlaces)
  }

  /** Undefined: the key is there already. Outside of a transaction, many at once share a statement and a commit. */
  insert(
    manager: EntityManager,
    { key, method, params, path }: NewKey,
    owner: string | undefined,
    { leaseMs, retentionMs }: Settings,
  ): Promise<PlacedKey | undefined> {
    const claim: Claim = {
      id: keyId(),
      key,
      method: method ?? null,
      params: json(params),
      path: path ?? null,
      owner: owner ?? null,
      lease_ms: leaseMs,
      retention_ms: retentionMs,
    }
    if (manager.queryRunner !== undefined) return this.#insertOne(manager, claim)
    return this.#claims.add(claim).catch((error: unknown) => {
      if (postgres.failureOf(error) !== 'aborted') throw error
      return this.#insertOne(manager, claim)
    })
  }

  async #insertAll(claims: readonly Claim[]): Promise<readonly (PlacedKey | undefined)[]> {
    const values = [JSON.stringify(claims), String(CLAIM_WAIT_MS)]
    const rows = await this.#queries.query({ text: this.#texts.insertAll, values })
    const inserted = new Map(rows.map((row) => [row['id'], row]))
    return claims.map(({ id }) => {
      const row = inserted.get(id)
      return row && placedOf(row)
    })
  }

  async #insertOne(
    manager: EntityManager,
    { id, key, method, params, path, owner, lease_ms, retention_ms }: Claim,
  ): Promise<PlacedKey | undefined> {
    const values = [lease_ms, id, key, method, params, path, owner, retention_ms]
    const [row] = await this.#rows(manager, { text: this.#texts.insert, values })
    return row && placedOf(row)
  }

  async look(
    manager: EntityManager,
    { key, method, params, path }: NewKey,
  ): Promise<(StoredKey & { readonly isOther: boolean }) | undefined> {
    const values = [key, method ?? null, path ?? null, json(params)]
    const [row] = await this.#rows(manager, { text: this.#texts.look, values })
    return row && { ...storedOf(row), isOther: row['other'] === true }
  }

  take(
    manager: EntityManager,
    key: string,
    { attempt, revision }: SeenKey,
    { owner, ended, leaseMs }: { owner: string; ended: string | undefined; leaseMs: number },
  ): Promise<StoredKey | undefined> {
    const values = [leaseMs, key, attempt, revision, owner, ended ?? null]
    return this.#one(manager, this.#texts.take, values)
  }

  /**
   * Undefined: there is none, or a stage holds it.
   *
   * @param place - where it was seen last: in a route's transaction, which may be SERIALIZABLE, it is looked for there
   */
  async lockRow(
    manager: EntityManager,
    key: string,
    place: string | undefined,
  ): Promise<SeenKey | undefined> {
    const isOwn = joinedOf(manager.queryRunner) !== undefined
    const { lockPlace, lockRow } = this.#texts
    const [there] =
      isOwn || !place ? [] : await this.#rows(manager, { text: lockPlace, values: [key, place] })
    const [row] = there ? [there] : await this.#rows(manager, { text: lockRow, values: [key] })
    if (row === undefined) return undefined
    const { id, recovery_point } = row as unknown as IdempotencyKey
    return { ...leaseOf(row), key: { id, recovery_point, idempotency_key: key } }
  }

  /**
   * @param fenced - makes what is thrown when the record is not as it was seen
   * @param isOwn - the transaction ends with this: it may travel with COMMIT
   */
  async advance(
    manager: EntityManager,
    { key: { id }, attempt: attemptSeen, place }: SeenKey,
    { owner, attempt, leaseMs }: { owner: string; attempt: number; leaseMs: number },
    { point, code, body }: { point: string; code: number | undefined; body: unknown },
    fenced: () => Error,
    isOwn: boolean,
  ): Promise<Advanced> {
    const seen = [id, attemptSeen, attempt]
    const [texts, values] =
      point === 'finished'
        ? [this.#texts.finish, [...seen, code ?? null, json(body)]]
        : [this.#texts.advance, [...seen, owner, leaseMs, point]]
    const joined = isOwn ? joinedOf(manager.queryRunner) : undefined
    if (joined === undefined) {
      const there = place
        ? await this.#rows(manager, { text: texts.byPlace, values: [...values, place] })
        : []
      // Elsewhere where the work has changed it itself.
      const [row] =
        there.length > 0 ? there : await this.#rows(manager, { text: texts.byId, values })
      if (row === undefined) throw fenced()
      return { stored: () => Promise.resolve(placedOf(row)) }
    }
    const rows = joined.sendLast({ text: texts.last, values }, (error) =>
      postgres.failureOf(error) === 'fenced' ? fenced() : error,
    )
    const stored = async (): Promise<PlacedKey> => {
      const [row] = await rows
      // Only the stage itself can have deleted it: the row was locked.
      if (row === undefined) throw fenced()
      return placedOf(row)
    }
    return { stored }
  }

  /** Undefined: there is none, it is finished, or another holds it. */
  update(
    manager: EntityManager,
    key: string,
    hold: Hold | undefined,
    values: KeyValues,
  ): Promise<StoredKey | undefined> {
    const columns = KEY_COLUMNS.filter((column) => values[column] !== undefined)
    const set = columns.map((column) =>
      column === 'request_params' || column === 'response_body'
        ? json(values[column])
        : values[column],
    )
    const own = [hold?.owner ?? null, hold?.attempt ?? null]
    return this.#one(manager, this.#texts.update(columns), [key, ...own, ...set])
  }

  async renew(holds: readonly Hold[], leaseMs: number): Promise<ReadonlyMap<string, string>> {
    const asked = holds.map(({ key, owner, attempt }) => ({ key, owner, attempt }))
    const values = [leaseMs, JSON.stringify(asked)]
    const rows = await this.#queries.query({ text: this.#texts.renew, values })
    return new Map(rows.map((row) => [text(row, 'key'), text(row, 'place')]))
  }

  async release({ key, owner, attempt }: Hold): Promise<void> {
    await this.#queries.query({ text: this.#texts.release, values: [key, owner, attempt] })
  }

  async #one(
    manager: EntityManager,
    statement: string,
    values: unknown[],
  ): Promise<StoredKey | undefined> {
    const [row] = await this.#rows(manager, { text: statement, values })
    return row && storedOf(row)
  }

  #rows(manager: EntityManager, statement: Statement): Promise<Rows> {
    const joined = joinedOf(manager.queryRunner)
    return joined === undefined ? this.#queries.within(manager, statement) : joined.send(statement)
  }
}

function storedOf(row: Rows[number]): StoredKey {
  return { ...leaseOf(row), key: keyOf(row) }
}

function placedOf(row: Rows[number]): PlacedKey {
  return { key: keyOf(row), place: text(row, 'place') }
}

/** One by one: over a list of names, reading a row is the slowest part of a request (bench/). */
function keyOf(row: Rows[number]): IdempotencyKey {
  const stored = row as unknown as IdempotencyKey
  return {
    id: stored.id,
    idempotency_key: stored.idempotency_key,
    created_at: stored.created_at,
    locked_at: stored.locked_at,
    request_method: stored.request_method,
    request_params: stored.request_params,
    request_path: stored.request_path,
    response_code: stored.response_code,
    response_body: stored.response_body,
    recovery_point: stored.recovery_point,
  } satisfies Omit<IdempotencyKey, 'beforeInsert'> as IdempotencyKey
}

function leaseOf(row: Rows[number]): Omit<SeenKey, 'key'> {
  return {
    owner: (row['owner'] as string | null) ?? undefined,
    attempt: Number(row['attempt']),
    revision: Number(row['revision']),
    lapsed: row['lapsed'] === true,
    place: text(row, 'place'),
  }
}

function json(value: unknown): string | null {
  return value === undefined || value === null ? null : JSON.stringify(value)
}

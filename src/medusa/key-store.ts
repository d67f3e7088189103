/** The table of the service over TypeORM: statements on a manager, whatever transaction it is in, and plain rows. */
import type { DataSource, EntityManager } from 'typeorm'
import type { Rows } from '../sql/database.ts'
import { type KeyColumn, KEY_COLUMNS, type KeyTable, keyTable } from '../sql/key-table.ts'
import { rowsOf } from '../sql/query-runner.ts'
import type { IdempotencyKey } from './idempotency-key.ts'
import type { Hold, HoldsStore } from './holds.ts'
import type { Settings } from './options.ts'
import { keyId } from './ulid.ts'

/** A key as it is stored, and its lease. */
export interface StoredKey {
  /** Plain and the caller's own: routes write on it. */
  readonly key: IdempotencyKey
  readonly owner: string | undefined
  readonly attempt: number
  readonly revision: number
  /** Nobody holds it. */
  readonly lapsed: boolean
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

/** One table of keys. */
export class KeyStore implements HoldsStore {
  readonly #dataSource: DataSource
  readonly #texts: KeyTable

  constructor(dataSource: DataSource, table: string) {
    this.#dataSource = dataSource
    this.#texts = keyTable(table)
  }

  /** Undefined: the key is there already. */
  insert(
    manager: EntityManager,
    { key, method, params, path }: NewKey,
    owner: string | undefined,
    { leaseMs, retentionMs }: Settings,
  ): Promise<StoredKey | undefined> {
    const about = [keyId(), key, method ?? null, json(params), path ?? null]
    return this.#one(manager, this.#texts.insert, [leaseMs, ...about, owner ?? null, retentionMs])
  }

  async look(
    manager: EntityManager,
    { key, method, params, path }: NewKey,
  ): Promise<(StoredKey & { readonly isOther: boolean }) | undefined> {
    const values = [key, method ?? null, path ?? null, json(params)]
    const [row] = rowsOf(await manager.query(this.#texts.look, values))
    return row && { ...storedOf(row), isOther: row['other'] === true }
  }

  take(
    manager: EntityManager,
    key: string,
    { attempt, revision }: StoredKey,
    { owner, ended, leaseMs }: { owner: string; ended: string | undefined; leaseMs: number },
  ): Promise<StoredKey | undefined> {
    const values = [leaseMs, key, attempt, revision, owner, ended ?? null]
    return this.#one(manager, this.#texts.take, values)
  }

  /** Undefined: there is none, or a stage holds it. */
  lockRow(manager: EntityManager, key: string): Promise<StoredKey | undefined> {
    return this.#one(manager, this.#texts.lockRow, [key])
  }

  advance(
    manager: EntityManager,
    seen: { readonly id: string; readonly attempt: number },
    next: { owner: string; attempt: number; leaseMs: number },
    to: { point: string; code: number | undefined; body: unknown },
  ): Promise<StoredKey | undefined> {
    const { owner, attempt, leaseMs } = next
    const { point, code, body } = to
    const held = [leaseMs, seen.id, seen.attempt, owner, attempt]
    const values = [...held, point, code ?? null, json(body), point === 'finished']
    return this.#one(manager, this.#texts.advance, values)
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

  async renew(holds: readonly Hold[], leaseMs: number): Promise<void> {
    const asked = holds.map(({ key, owner, attempt }) => ({ key, owner, attempt }))
    await this.#dataSource.query(this.#texts.renew, [leaseMs, JSON.stringify(asked)])
  }

  async release({ key, owner, attempt }: Hold): Promise<void> {
    await this.#dataSource.query(this.#texts.release, [key, owner, attempt])
  }

  async #one(
    manager: EntityManager,
    statement: string,
    values: unknown[],
  ): Promise<StoredKey | undefined> {
    const [row] = rowsOf(await manager.query(statement, values))
    return row && storedOf(row)
  }
}

function storedOf(row: Rows[number]): StoredKey {
  const key = Object.fromEntries(KEY_COLUMNS.map((column) => [column, row[column]]))
  return {
    key: key as unknown as IdempotencyKey,
    owner: (row['owner'] as string | null) ?? undefined,
    attempt: Number(row['attempt']),
    revision: Number(row['revision']),
    lapsed: row['lapsed'] === true,
  }
}

function json(value: unknown): string | null {
  return value === undefined || value === null ? null : JSON.stringify(value)
}

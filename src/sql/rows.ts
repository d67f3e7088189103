/** Rows of the table as the core knows them. Drivers differ in what they make of a number, and in nothing else here. */
import { invariant } from '../core/invariant.ts'
import type { Header, Outcome } from '../core/outcome.ts'
import {
  type FoundRecord,
  stagesOf,
  type State,
  type Task,
  type WholeRecord,
} from '../core/record.ts'
import type { DueRecord } from '../core/store.ts'
import type { Rows } from './database.ts'

type Row = Rows[number]

/** Rows that have an `id`, by it. */
export type RowsById = ReadonlyMap<string, Row>

/** The last one of each. */
export function byId(rows: Rows): RowsById {
  return new Map(rows.map((row) => [text(row, 'id'), row]))
}

const STATES: ReadonlySet<string> = new Set(['running', 'finished', 'unknown', 'failed'])

/** A record of a row that was read with all columns of a record. */
export function recordOf(row: Row): FoundRecord {
  const state = text(row, 'state')
  invariant(STATES.has(state), 'a record is in a state that is known', {
    id: text(row, 'id'),
    state,
  })
  return {
    id: text(row, 'id'),
    state: state as State,
    fingerprint: text(row, 'fingerprint'),
    owner: textOrNone(row, 'owner'),
    attempt: number(row, 'attempt'),
    revision: number(row, 'revision'),
    recoveryPoint: text(row, 'recovery_point'),
    stages: stagesOf(text(row, 'stages')),
    execution: text(row, 'execution'),
    expired: number(row, 'expired') === 1,
    leaseLeftMs: number(row, 'lease_left_ms'),
    outcome: state === 'finished' ? outcomeOf(row) : undefined,
    version: textOrNone(row, 'version'),
  }
}

/** A record of a row that was read with what it is about. */
export function wholeRecordOf(row: Row): WholeRecord {
  return {
    ...recordOf(row),
    operation: text(row, 'operation'),
    scope: text(row, 'scope'),
    key: text(row, 'idempotency_key'),
    task: taskOf(row),
  }
}

/** A record whose turn it is. */
export function dueRecordOf(row: Row): DueRecord {
  return { record: wholeRecordOf(row), tries: number(row, 'tries') }
}

function taskOf(row: Row): Task | undefined {
  const version = textOrNone(row, 'version')
  if (version === undefined) return undefined
  return { version, input: text(row, 'input'), principal: textOrNone(row, 'principal') }
}

/** A column that holds text. */
export function text(row: Row, column: string): string {
  const value = row[column]
  invariant(typeof value === 'string', `column ${column} holds text`)
  return value
}

function textOrNone(row: Row, column: string): string | undefined {
  return row[column] === null ? undefined : text(row, column)
}

/** A column that holds a number, however the driver hands it over. */
export function number(row: Row, column: string): number {
  const value = Number(row[column])
  invariant(row[column] !== null && Number.isFinite(value), `column ${column} holds a number`)
  return value
}

function outcomeOf(row: Row): Outcome {
  const headers = row['response_headers'] === null ? '[]' : text(row, 'response_headers')
  const stored = row['response_body']
  const body = stored instanceof ArrayBuffer ? new Uint8Array(stored) : stored // As libsql has it.
  invariant(body === null || body instanceof Uint8Array, 'a stored body is bytes or nothing')
  return {
    status: number(row, 'response_code'),
    headers: JSON.parse(headers) as readonly Header[],
    body: body ?? undefined,
  }
}

/** A change was made: a row was returned; without RETURNING, one that says how many were changed. */
export function isMade(rows: Rows): boolean {
  return rows[0] !== undefined && rows[0]['changed'] !== 0
}

/** Rows whose columns a library was told to name in another case. */
export function inSnakeCase(rows: Rows): Rows {
  const [first] = rows
  if (first === undefined || !Object.keys(first).some((name) => /[A-Z-]/.test(name))) return rows
  return rows.map((row) =>
    Object.fromEntries(Object.entries(row).map(([name, value]) => [snakeCased(name), value])),
  )
}

function snakeCased(name: string): string {
  const words = name.replaceAll('-', '_').replace(/(?<=[a-z0-9])[A-Z]/g, (letter) => `_${letter}`)
  return words.toLowerCase()
}

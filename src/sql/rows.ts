/** Rows of the table as the core knows them. Drivers differ in what they make of a number, and in nothing else here. */
import { invariant } from '../core/invariant.ts'
import type { Header, Outcome } from '../core/outcome.ts'
import { type FoundRecord, stagesOf, type State } from '../core/record.ts'
import type { Rows } from './database.ts'

type Row = Rows[number]

const STATES: ReadonlySet<string> = new Set(['running', 'finished', 'unknown'])

/** A record of a row that was read with all columns of a record. */
export function recordOf(row: Row): FoundRecord {
  const state = text(row, 'state')
  invariant(STATES.has(state), 'a record is running, finished or unknown', {
    id: text(row, 'id'),
    state,
  })
  return {
    id: text(row, 'id'),
    state: state as State,
    fingerprint: text(row, 'fingerprint'),
    owner: row['owner'] === null ? undefined : text(row, 'owner'),
    attempt: number(row, 'attempt'),
    revision: number(row, 'revision'),
    recoveryPoint: text(row, 'recovery_point'),
    stages: stagesOf(text(row, 'stages')),
    execution: text(row, 'execution'),
    expired: number(row, 'expired') === 1,
    leaseLeftMs: number(row, 'lease_left_ms'),
    outcome: state === 'finished' ? outcomeOf(row) : undefined,
  }
}

/** A column that holds text. */
export function text(row: Row, column: string): string {
  const value = row[column]
  invariant(typeof value === 'string', `column ${column} holds text`)
  return value
}

/** A column that holds a number, however the driver hands it over. */
export function number(row: Row, column: string): number {
  const value = Number(row[column])
  invariant(row[column] !== null && Number.isFinite(value), `column ${column} holds a number`)
  return value
}

function outcomeOf(row: Row): Outcome {
  const headers = row['response_headers'] === null ? '[]' : text(row, 'response_headers')
  const body = row['response_body']
  invariant(body === null || body instanceof Uint8Array, 'a stored body is bytes or nothing')
  return {
    status: number(row, 'response_code'),
    headers: JSON.parse(headers) as readonly Header[],
    body: body ?? undefined,
  }
}

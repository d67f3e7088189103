/** A record as a script returns it. */
import { invariant } from '../core/invariant.ts'
import type { Header } from '../core/outcome.ts'
import { type FoundRecord, stagesOf, type State, type WholeRecord } from '../core/record.ts'
import { FIELDS } from './scripts.ts'

const STATES: readonly string[] = ['running', 'finished', 'unknown', 'failed']

/** @param reply - the values of {@link FIELDS}, and the server's instant */
export function recordOf(id: string, reply: readonly unknown[]): FoundRecord {
  const values = new Map(FIELDS.map((name, at) => [name as string, reply[at]]))
  const now = Number(textOf(reply[FIELDS.length]))
  const text = (name: (typeof FIELDS)[number]): string => textOf(values.get(name))
  const state = text('state')
  invariant(STATES.includes(state), 'a record is in a state that is known', { id })
  const owner = text('owner')
  const body = values.get('response_body')
  return {
    id,
    state: state as State,
    fingerprint: text('fingerprint'),
    owner: owner === '' ? undefined : owner,
    attempt: Number(text('attempt')),
    revision: Number(text('revision')),
    recoveryPoint: text('recovery_point'),
    stages: stagesOf(text('stages')),
    execution: text('created_at'),
    expired: Number(text('expires_at')) <= now,
    leaseLeftMs: owner === '' ? 0 : Math.max(0, Number(text('locked_until')) - now),
    outcome:
      state === 'finished'
        ? {
            status: Number(text('response_code')),
            headers: JSON.parse(text('response_headers')) as readonly Header[],
            body: body instanceof Uint8Array ? body : undefined,
          }
        : undefined,
    version: undefined,
  }
}

/** @param reply - as of {@link recordOf}, and behind it what the record is about */
export function wholeRecordOf(id: string, reply: readonly unknown[]): WholeRecord {
  const [operation, scope, key] = reply.slice(FIELDS.length + 1).map(textOf)
  return {
    ...recordOf(id, reply),
    operation: operation ?? '',
    scope: scope ?? '',
    key: key ?? '',
    task: undefined,
  }
}

/** A text of a reply; nothing is an empty one. */
export function textOf(value: unknown): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString()
  return typeof value === 'string' ? value : ''
}

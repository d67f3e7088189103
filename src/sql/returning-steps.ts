/** The steps where a change returns the rows it made (PostgreSQL, SQLite): one statement each. */
import { stagesText } from '../core/record.ts'
import { taskValues } from './backlog.ts'
import type { ClaimInput, ResetInput } from '../core/store.ts'
import type { Rows } from './database.ts'
import { text } from './rows.ts'
import type { Runner, Steps } from './steps.ts'

/** The statements. */
export interface ReturningTexts {
  readonly claim: string
  readonly look: string
  readonly takeOver: string
  readonly stop: string
  readonly restart: string
  readonly reset: string
  readonly write: string
  readonly finish: string
  readonly reread: string
  readonly find: string
  readonly heartbeat: string
  readonly forget: string
  readonly erasable: string
  readonly erase: string
  readonly putOff: string
}

/**
 * All but those whose way differs.
 *
 * @param insert - of claims with different ids: the rows inserted, and those that were there, where it has read them
 */
export function returningSteps(
  { query }: Pick<Runner, 'query'>,
  texts: Omit<ReturningTexts, 'claim' | 'write' | 'finish' | 'reread'>,
  insert: (claims: readonly ClaimInput[]) => Promise<Rows>,
): Omit<Steps, 'writes' | 'finishes' | 'reread' | 'due' | 'reap'> {
  return {
    claim: async (claims) => {
      const first = new Map<string, ClaimInput>()
      for (const one of claims) if (!first.has(one.id)) first.set(one.id, one)
      const rows = await insert(first.size === claims.length ? claims : [...first.values()])
      const inserted = new Map<string, Rows[number]>()
      const found = new Map<string, Rows[number]>()
      for (const row of rows) {
        const isThere = typeof row['state'] === 'string'
        ;(isThere ? found : inserted).set(text(row, 'id'), row)
      }
      const lost = new Set<string>()
      for (const { id, owner } of claims)
        if (!found.has(id) && inserted.get(id)?.['owner'] !== owner) lost.add(id)
      if (lost.size === 0) return { inserted, found }
      // A new statement: the one that lost its insert does not see the row that won.
      for (const row of await query({ text: texts.look, values: [JSON.stringify([...lost])] }))
        found.set(text(row, 'id'), row)
      return { inserted, found }
    },
    takeOver: ({ id, attempt, owner, leaseMs, revision }) =>
      query({ text: texts.takeOver, values: [id, attempt, owner, leaseMs, revision] }),
    stop: ({ id, attempt, revision }, to) =>
      query({ text: texts.stop, values: [id, attempt, revision, to] }),
    restart: ({ id, attempt, revision, state, recoveryPoint, stages }) => {
      const seen = [id, attempt, revision, state]
      return query({ text: texts.restart, values: [...seen, recoveryPoint, stagesText(stages)] })
    },
    reset: (input) => query({ text: texts.reset, values: resetValues(input) }),
    find: (id) => query({ text: texts.find, values: [id] }),
    heartbeat: (holds, leaseMs) =>
      query({ text: texts.heartbeat, values: [JSON.stringify(holds), leaseMs] }),
    forget: ({ id, attempt, revision, state }) =>
      query({ text: texts.forget, values: [id, attempt, revision, state] }),
    erasable: ({ after, limit, scope }) =>
      query({ text: texts.erasable, values: [after, limit, scope] }),
    erase: (ids, tombstoneMs) =>
      query({ text: texts.erase, values: [JSON.stringify(ids), tombstoneMs] }),
    putOff: async (id, ms, tries) => {
      await query({ text: texts.putOff, values: [id, ms, tries] })
    },
  }
}

/** The values of `reset`; the last is the backlog's. */
export function resetValues(input: ResetInput): readonly unknown[] {
  const { id, attempt, owner, leaseMs, fingerprint, method, path, retentionMs, task } = input
  const request = [fingerprint, method ?? null, path ?? null]
  const about = [input.scope, input.operation, input.key]
  return [id, attempt, owner, leaseMs, ...request, retentionMs, ...about, ...taskValues(task)]
}

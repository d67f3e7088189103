/** The steps where a change returns the rows it made (PostgreSQL, SQLite): one statement each. */
import { claimsText } from './payload.ts'
import { text } from './rows.ts'
import type { Runner, Steps } from './steps.ts'

/** The statements. */
export interface ReturningTexts {
  readonly claim: string
  readonly look: string
  readonly takeOver: string
  readonly stopUnknown: string
  readonly reset: string
  readonly write: string
  readonly finish: string
  readonly reread: string
  readonly heartbeat: string
  readonly reap: string
}

/** All but those whose way differs. */
export function returningSteps(
  { query }: Pick<Runner, 'query'>,
  texts: Omit<ReturningTexts, 'write' | 'finish' | 'reread'>,
): Omit<Steps, 'writes' | 'finishes' | 'reread'> {
  return {
    claim: async (claims) => {
      const inserted = await query({ text: texts.claim, values: [claimsText(claims)] })
      const owners = new Map(inserted.map((row) => [text(row, 'id'), text(row, 'owner')]))
      const lost = claims.filter(({ id, owner }) => owners.get(id) !== owner)
      if (lost.length === 0) return { inserted, found: [] }
      // A new statement: the one that lost its insert does not see the row that won.
      const ids = JSON.stringify([...new Set(lost.map(({ id }) => id))])
      return { inserted, found: await query({ text: texts.look, values: [ids] }) }
    },
    takeOver: ({ id, attempt, owner, leaseMs, revision }) =>
      query({ text: texts.takeOver, values: [id, attempt, owner, leaseMs, revision] }),
    stopUnknown: ({ id, attempt, revision }) =>
      query({ text: texts.stopUnknown, values: [id, attempt, revision] }),
    reset: ({ id, attempt, owner, leaseMs, fingerprint, method, path, retentionMs }) => {
      const request = [fingerprint, method ?? null, path ?? null]
      const values = [id, attempt, owner, leaseMs, ...request, retentionMs]
      return query({ text: texts.reset, values })
    },
    heartbeat: (holds, leaseMs) =>
      query({ text: texts.heartbeat, values: [JSON.stringify(holds), leaseMs] }),
    reap: async (limit, graceMs) =>
      (await query({ text: texts.reap, values: [limit, graceMs] })).length,
  }
}

/** The steps where no change returns what it made (MySQL, MariaDB): lock, change, read. */
import type { ClaimInput } from '../core/store.ts'
import { oneByOne, writeOf } from './changes.ts'
import type { Rows } from './database.ts'
import { fenceOf } from './fence.ts'
import type { MysqlTexts } from './mysql-texts.ts'
import { number, text } from './rows.ts'
import type { Claimed, Runner, Steps } from './steps.ts'

/** The steps on one table. */
export function mysqlSteps(texts: MysqlTexts, runner: Runner): Steps {
  const { query, transaction } = runner
  const read = (id: string) => ({ text: texts.look(1), values: [id] })
  return {
    claim: (claims) => claim(texts, query, claims),
    takeOver: ({ id, attempt, revision, owner, leaseMs }) =>
      transaction(async (within) => {
        const lapsed = await within({ text: texts.lockLapsed, values: [id, attempt, revision] })
        if (lapsed.length === 0) return []
        await within({ text: texts.takeOver, values: [id, owner, leaseMs] })
        return await within(read(id))
      }),
    stopUnknown: ({ id, attempt, revision }) =>
      transaction(async (within) => {
        const lapsed = await within({ text: texts.lockLapsed, values: [id, attempt, revision] })
        if (lapsed.length > 0) await within({ text: texts.stopUnknown, values: [id] })
        return lapsed
      }),
    reset: ({ id, attempt, owner, leaseMs, fingerprint, method, path, retentionMs }) =>
      transaction(async (within) => {
        const expired = await within({ text: texts.lockExpired, values: [id, attempt] })
        if (expired.length === 0) return []
        const request = [fingerprint, method ?? null, path ?? null]
        await within({ text: texts.reset, values: [id, owner, leaseMs, ...request, retentionMs] })
        return await within(read(id))
      }),
    writes: oneByOne(runner, writeOf(texts.write)),
    finishes: oneByOne(runner, (hold, write) => fenceOf(texts, hold, write)),
    reread: (id) => query({ text: texts.reread, values: [id] }),
    heartbeat: (holds, leaseMs) => heartbeat(texts, runner, holds, leaseMs),
    reap: async (limit, graceMs) => {
      const found = await query({ text: texts.reapable(limit), values: [graceMs] })
      if (found.length === 0) return 0
      return await transaction(async (within) => {
        const ids = padded(found.map((row) => text(row, 'id')))
        const still = { text: texts.lockReapable(ids.length), values: [graceMs, ...ids] }
        const locked = padded((await within(still)).map((row) => text(row, 'id')))
        if (locked.length > 0) await within({ text: texts.reap(locked.length), values: locked })
        return new Set(locked).size
      })
    },
  }
}

/** Looks first: an insert that meets a row which a commit holds waits for it, and all others of the batch with it. */
async function claim(
  texts: MysqlTexts,
  query: Runner['query'],
  claims: readonly ClaimInput[],
): Promise<Claimed> {
  const look = (ids: readonly string[]): Promise<Rows> => {
    const list = padded(ids)
    return query({ text: texts.look(list.length), values: list })
  }
  const there = await look(claims.map(({ id }) => id))
  const known = new Set(there.map((row) => text(row, 'id')))
  const missing = claims.filter(({ id }) => !known.has(id))
  if (missing.length === 0) return { inserted: [], found: there }
  const rows = padded(missing.toSorted((a, b) => (a.id < b.id ? -1 : 1)))
  await query({ text: texts.claim(rows.length), values: rows.flatMap(claimValues) })
  const stored = await look(missing.map(({ id }) => id))
  const asked = new Set(missing.map(({ id, owner }) => `${id} ${owner}`))
  const isOurs = (row: Rows[number]): boolean =>
    asked.has(`${text(row, 'id')} ${String(row['owner'])}`)
  return {
    inserted: stored.filter(isOurs),
    found: [...there, ...stored],
  }
}

function claimValues(claim: ClaimInput): readonly unknown[] {
  const { id, key, scope, operation, fingerprint, owner, method, path } = claim
  const request = [method ?? null, path ?? null]
  const durations = [claim.leaseMs, claim.retentionMs]
  return [id, key, scope, operation, fingerprint, owner, ...request, ...durations]
}

/**
 * In autocommit, each of the three: a process that stands still between them (stopped, or swapped out) keeps no row
 * from whoever takes over.
 */
async function heartbeat(
  texts: MysqlTexts,
  { query }: Runner,
  holds: Parameters<Steps['heartbeat']>[0],
  leaseMs: number,
): Promise<Rows> {
  const ids = padded(holds.map(({ id }) => id))
  const asked = new Set(holds.map(nameOf))
  const running = await query({ text: texts.lockRunning(ids.length), values: ids })
  const ours = padded(running.filter((row) => asked.has(holderOf(row))))
  if (ours.length > 0) {
    const values = [leaseMs, ...ours.map((row) => row['id']), ...ours.map((row) => row['owner'])]
    await query({ text: texts.renew(ours.length), values })
  }
  const owners = await query({ text: texts.owners(ids.length), values: ids })
  const held = new Set(owners.map(holderOf))
  return holds.filter((hold) => !held.has(nameOf(hold))).map((hold) => ({ ...hold }))
}

function nameOf({ id, owner, attempt }: Parameters<Steps['heartbeat']>[0][number]): string {
  return `${id} ${owner} ${String(attempt)}`
}

function holderOf(row: Rows[number]): string {
  return `${text(row, 'id')} ${String(row['owner'])} ${String(number(row, 'attempt'))}`
}

/** To a power of two by repeating the last: few texts, of which a server keeps each one prepared. */
function padded<T>(items: readonly T[]): readonly T[] {
  const last = items.at(-1)
  if (last === undefined) return []
  const size = 2 ** Math.ceil(Math.log2(items.length))
  return [...items, ...Array.from({ length: size - items.length }, () => last)]
}

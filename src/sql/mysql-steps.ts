/** The steps where no change returns what it made (MySQL, MariaDB): lock, change, read. */
import { stagesText } from '../core/record.ts'
import type { ClaimInput, ResetInput } from '../core/store.ts'
import { due, enter, putOff } from './backlog-mysql.ts'
import { oneByOne, writeOf } from './changes.ts'
import type { Rows } from './database.ts'
import { erasureSteps, reap } from './erase-mysql.ts'
import { fenceOf } from './fence.ts'
import type { MysqlTexts } from './mysql-texts.ts'
import { padded } from './mysql-words.ts'
import { byId, number, text } from './rows.ts'
import type { Claimed, Runner, Steps } from './steps.ts'

/** The steps on one table. */
export function mysqlSteps(texts: MysqlTexts, runner: Runner): Steps {
  const { query, transaction } = runner
  return {
    claim: (claims) => claim(texts, query, claims),
    takeOver: ({ id, attempt, revision, owner, leaseMs }) =>
      transaction(async (within) => {
        const lapsed = await within({ text: texts.lockLapsed, values: [id, attempt, revision] })
        if (lapsed.length === 0) return []
        await within({ text: texts.takeOver, values: [id, owner, leaseMs] })
        return await within({ text: texts.look(1), values: [id] })
      }),
    stop: ({ id, attempt, revision }, to) =>
      transaction(async (within) => {
        const lapsed = await within({ text: texts.lockLapsed, values: [id, attempt, revision] })
        if (lapsed.length > 0) await within({ text: texts.stop, values: [id, to] })
        return lapsed
      }),
    restart: ({ id, attempt, revision, state, recoveryPoint, stages }) =>
      transaction(async (within) => {
        const seen = [id, attempt, revision, state]
        const stopped = await within({ text: texts.lockStopped, values: seen })
        const values = [id, recoveryPoint, stagesText(stages)]
        if (stopped.length > 0) await within({ text: texts.restart, values })
        return stopped
      }),
    reset: (input) => reset(texts, runner, input),
    writes: oneByOne(runner, writeOf(texts.write)),
    finishes: oneByOne(runner, (hold, write) => fenceOf(texts, hold, write)),
    reread: (id) => query({ text: texts.reread, values: [id] }),
    find: async (id) => (await query({ text: texts.find(1), values: [id] })).map(withInput),
    due: async (...asked) => (await due(runner, texts, asked)).map(withInput),
    putOff: (...asked) => putOff(query, texts, asked),
    heartbeat: (holds, leaseMs) => heartbeat(texts, runner, holds, leaseMs),
    reap: (...asked) => reap(texts, runner, asked),
    ...erasureSteps(texts, runner),
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
  if (missing.length === 0) return { inserted: byId([]), found: byId(there) }
  const tasks = missing.flatMap(({ id, operation, task }) =>
    task === undefined ? [] : [{ id, operation, dueMs: task.dueMs }],
  )
  // First: a process that dies in between leaves an entry without a record, which `due` removes, and never the reverse.
  await enter(query, texts, tasks)
  const rows = padded(missing.toSorted((a, b) => (a.id < b.id ? -1 : 1)))
  const isTask = tasks.length > 0
  const insert = isTask ? texts.claimTasks(rows.length) : texts.claim(rows.length)
  const values = rows.flatMap((row) =>
    isTask ? [...claimValues(row), ...recordedTask(row.task)] : claimValues(row),
  )
  await query({ text: insert, values })
  const stored = await look(missing.map(({ id }) => id))
  const asked = new Set(missing.map(({ id, owner }) => `${id} ${owner}`))
  const isOurs = (row: Rows[number]): boolean =>
    asked.has(`${text(row, 'id')} ${String(row['owner'])}`)
  return {
    inserted: byId(stored.filter(isOurs)),
    found: byId([...there, ...stored]),
  }
}

function claimValues(claim: ClaimInput): readonly unknown[] {
  const { id, key, scope, operation, fingerprint, owner, method, path } = claim
  const request = [method ?? null, path ?? null]
  const durations = [claim.leaseMs, claim.retentionMs]
  return [id, key, scope, operation, fingerprint, owner, ...request, ...durations]
}

async function reset(texts: MysqlTexts, { transaction }: Runner, input: ResetInput): Promise<Rows> {
  const { id, attempt, owner, leaseMs, fingerprint, method, path, retentionMs, task } = input
  const { operation } = input
  return await transaction(async (within) => {
    const expired = await within({ text: texts.lockExpired, values: [id, attempt] })
    if (expired.length === 0) return []
    const request = [fingerprint, method ?? null, path ?? null]
    const about = [input.scope, operation, input.key]
    const values = [id, owner, leaseMs, ...request, retentionMs, ...recordedTask(task), ...about]
    await within({ text: texts.reset, values })
    if (task !== undefined)
      await within({ text: texts.putOff, values: [id, operation, task.dueMs, 0] })
    return await within({ text: texts.look(1), values: [id] })
  })
}

/** Input, version, principal. */
function recordedTask(task: ClaimInput['task']): readonly unknown[] {
  if (task === undefined) return [null, null, null]
  return [JSON.stringify(task.input), task.version, task.principal ?? null]
}

/** A row with the text of its input, out of the JSON string that holds it. */
function withInput(row: Rows[number]): Rows[number] {
  const { input } = row
  return typeof input === 'string' ? { ...row, input: JSON.parse(input) as unknown } : row
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

/**
 * An application of the first version of Pawl: its statements, on the columns that it knew. It serves beside this version
 * while the table is migrated, and each takes over from the other.
 */
import type pg from 'pg'
import { randomUUID } from 'node:crypto'
import { canonicalJson, fingerprintOf } from '../../src/core/fingerprint.ts'
import { idOf } from '../../src/core/identity.ts'
import { OPERATION, type Reply, STAGES } from './rides.ts'

const RETENTION = `interval '1 day'`
const RECORD = `id, state, fingerprint, owner, attempt, revision, recovery_point, stages::text as stages,
  response_code, convert_from(response_body, 'UTF8') as body, locked_until < clock_timestamp() as lapsed`

interface Row {
  readonly id: string
  readonly state: string
  readonly fingerprint: string
  readonly owner: string | null
  readonly attempt: number
  readonly revision: number
  readonly recovery_point: string
  readonly stages: string
  readonly response_code: number | null
  readonly body: string | null
  readonly lapsed: boolean | null
}

/** How it behaves. */
export interface OldOptions {
  readonly leaseMs: number
  /** Drawn behind each stage: it dies there, and releases nothing. */
  readonly dies: () => boolean
  readonly counts: { takenOver: number; abandoned: number }
}

/** One request, as the first version served it. */
export async function askOld(pool: pg.Pool, key: string, options: OldOptions): Promise<Reply> {
  const { leaseMs, dies, counts } = options
  const id = idOf({ scope: 'rides', operation: OPERATION, key })
  const owner = randomUUID()
  const input = { key, repeatable: true }
  const fingerprint = fingerprintOf(['json', canonicalJson(input)], []).value
  await pool.query(
    `insert into idempotency_key as k (id, idempotency_key, scope, operation, fingerprint, owner, attempt, state,
                                       recovery_point, stages, created_at, locked_at, locked_until, expires_at)
     values ($1, $2, 'rides', $3, $4, $5, 1, 'running', 'started', '{}', clock_timestamp(), clock_timestamp(),
             clock_timestamp() + $6 * interval '1 millisecond', clock_timestamp() + ${RETENTION})
         on conflict (id) do nothing`,
    [id, key, OPERATION, fingerprint, owner, leaseMs],
  )
  let record = await look(pool, id)
  if (record === undefined) return inProgress()
  if (record.state === 'finished') return answer(record.response_code ?? 0, record.body ?? '', true)
  if (record.owner !== owner) {
    if (record.owner !== null && record.lapsed !== true) return inProgress()
    const taken = await takeOver(pool, record, owner, leaseMs)
    if (taken === undefined) return inProgress()
    if (record.owner !== null) counts.takenOver++
    record = taken
  }
  return await go(pool, { record, owner, key, leaseMs, dies, counts })
}

async function look(pool: pg.Pool, id: string): Promise<Row | undefined> {
  const { rows } = await pool.query<Row>(`select ${RECORD} from idempotency_key where id = $1`, [
    id,
  ])
  return rows[0]
}

async function takeOver(
  pool: pg.Pool,
  { id, attempt, revision }: Row,
  owner: string,
  leaseMs: number,
): Promise<Row | undefined> {
  const { rows } = await pool.query<Row>(
    `with lapsed as (
       select k.id as lapsed_id from idempotency_key k
        where k.id = $1 and k.attempt = $2 and k.revision = $3 and k.state = 'running'
          and (k.locked_until is null or k.locked_until < clock_timestamp())
          for update skip locked
     )
     update idempotency_key
        set owner = $4, attempt = attempt + 1, locked_at = clock_timestamp(),
            locked_until = clock_timestamp() + $5 * interval '1 millisecond'
       from lapsed where id = lapsed_id
     returning ${RECORD}`,
    [id, attempt, revision, owner, leaseMs],
  )
  return rows[0]
}

interface Going extends OldOptions {
  readonly record: Row
  readonly owner: string
  readonly key: string
}

/** The stages that are not recorded yet. */
async function go(
  pool: pg.Pool,
  { record, owner, key, leaseMs, dies, counts }: Going,
): Promise<Reply> {
  const { id, attempt } = record
  let { recovery_point: point, revision } = record
  const stages = JSON.parse(record.stages) as Record<string, { kind: string; result?: string }>
  const [booked, receipt] = STAGES
  const died = (): boolean => {
    if (!dies()) return false
    counts.abandoned++
    return true
  }
  if (stages[booked] === undefined) {
    const note = `${booked}-${randomUUID()}`
    stages[booked] = { kind: 'stage', result: note }
    const isCommitted = await inTransaction(
      pool,
      { key, stage: booked, attempt, note },
      {
        text: `update idempotency_key
                set recovery_point = $5, stages = $6::text::json, revision = revision + 1,
                    locked_until = clock_timestamp() + $7::float8 * interval '1 millisecond'
              where id = $1 and owner = $2 and attempt = $3 and recovery_point = $4 and revision = $8
                and state = 'running'`,
        values: [id, owner, attempt, point, booked, JSON.stringify(stages), leaseMs, revision],
      },
    )
    if (!isCommitted) return inProgress()
    point = booked
    revision++
  }
  if (died()) return { kind: 'lost' }
  const note = `${receipt}-${randomUUID()}`
  const body = JSON.stringify({ key, charged: 'nobody', notes: [stages[booked].result, note] })
  const isCommitted = await inTransaction(
    pool,
    { key, stage: receipt, attempt, note },
    {
      text: `update idempotency_key
              set state = 'finished', recovery_point = 'finished', revision = revision + 1, locked_at = null,
                  locked_until = null, response_code = 201, response_headers = $5::text::json,
                  response_body = convert_to($6, 'UTF8')
            where id = $1 and owner = $2 and attempt = $3 and recovery_point = $4 and revision = $7
              and state = 'running'`,
      values: [id, owner, attempt, point, '[["content-type","application/json"]]', body, revision],
    },
  )
  return isCommitted ? answer(201, body, false) : inProgress()
}

/** An effect, and the fence behind it. @returns false: fenced, rolled back */
async function inTransaction(
  pool: pg.Pool,
  effect: {
    readonly key: string
    readonly stage: string
    readonly attempt: number
    readonly note: string
  },
  fence: { readonly text: string; readonly values: unknown[] },
): Promise<boolean> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    await client.query('insert into effects (key, stage, attempt, note) values ($1, $2, $3, $4)', [
      effect.key,
      effect.stage,
      effect.attempt,
      effect.note,
    ])
    const { rowCount } = await client.query(fence)
    await client.query(rowCount === 1 ? 'commit' : 'rollback')
    return rowCount === 1
  } finally {
    client.release()
  }
}

function answer(status: number, body: string, replayed: boolean): Reply {
  return { kind: 'answer', status, code: undefined, replayed, body }
}

function inProgress(): Reply {
  return { kind: 'answer', status: 409, code: 'in_progress', replayed: false, body: '' }
}

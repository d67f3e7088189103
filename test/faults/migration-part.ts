/**
 * Of lane I: the table is migrated from the first version to this one while processes of the first version serve; then
 * both serve, die, and take over from each other.
 */
import { pgStore } from '../../src/databases/pg.ts'
import { postgres } from '../../src/sql/postgres.ts'
import { type Ask, startClients } from './clients.ts'
import type { LaneOptions } from './lane.ts'
import type { Part } from './lane-part.ts'
import { createLedger, hollowOf, pause, randomOf, said, violationsOf } from './ledger.ts'
import { askOld } from './old-application.ts'
import { createRides, type Reply } from './rides.ts'
import { overPool, ridesPool, type RidesPostgres, startRidesPostgres } from './rides-postgres.ts'

const TABLE = '"idempotency_key"'
const LEASE_MS = 300
/** A process of this version that stands still for longer than that loses its lease, and is fenced when it goes on. */
const ATTEMPT_MAX_MS = 1_000
const STANDS_STILL_MS = 2_500
const PATIENCE_MS = 500
const CLIENTS = 16
const FOR_MS = 3_000
const DEATHS = 0.08
const MIGRATORS = 3

/** @param again - how it is shown again */
export async function migrationPart({ scale, seed }: LaneOptions, again: string): Promise<Part> {
  const database = await startRidesPostgres({}, async (pool) => {
    const { createVersions, addVersion } = postgres.migrationStatements(TABLE)
    const [first] = postgres.migrations(TABLE)
    // Of PostgreSQL, all are texts.
    for (const statement of [createVersions, ...(first?.statements ?? [])])
      await pool.query(statement as string)
    await pool.query(addVersion, [1])
  })
  const random = randomOf(seed)
  const pool = ridesPool(database.url, { max: 12 })
  const ledger = createLedger()
  const old = { takenOver: 0, abandoned: 0 }
  const events = new Map<string, number>()
  const askOldOne: Ask = (key) =>
    askOld(pool, key, { leaseMs: LEASE_MS, dies: () => random() < DEATHS, counts: old })
  const rides = createRides({
    ...overPool(pool),
    ...{ leaseMs: LEASE_MS, attemptMaxMs: ATTEMPT_MAX_MS, calls: false },
    between: async () => {
      if (random() < DEATHS) await pause(STANDS_STILL_MS)
    },
    onEvent: ({ type }) => void events.set(type, (events.get(type) ?? 0) + 1),
  })
  let isMigrated = false
  let nth = 0
  const clients = startClients({
    ...{ ledger, random, count: CLIENTS, nextKey: () => `m-${String(++nth)}` },
    ask: (key) => (isMigrated && random() < 0.5 ? withPatience(rides.ask(key)) : askOldOne(key)),
  })
  await pause((FOR_MS / 2) * scale)
  const early = await rides.ask('too-early')
  const before = ledger.answers.size
  const tookMs = await migrated(database)
  isMigrated = true
  await pause(FOR_MS * scale)
  await clients.settle()
  await rides.idempotency.close()
  await pool.end()
  const violations = await violationsOf(ledger, database, { again })
  await database.remove()
  const refused = early.kind === 'answer' && early.code === 'store_unavailable'
  return {
    attempted: MIGRATORS + old.abandoned,
    effective: MIGRATORS + old.abandoned,
    violations: [
      ...violations,
      ...(refused
        ? []
        : [`before the migration this version answered ${JSON.stringify(early)} [${again}]`]),
    ],
    hollow: hollowOf({
      'keys answered before the migration': [before, 1],
      'takeovers by the first version': [old.takenOver, 1],
      'takeovers by this version': [events.get('taken_over') ?? 0, 1],
      'fenced attempts of this version': [events.get('lease_lost') ?? 0, 1],
    }),
    notes: [
      `migration: ${MIGRATORS} at one time took ${tookMs} ms under load; ${ledger.answers.size} keys answered, ${before} ` +
        `of them before; the first version abandoned ${old.abandoned} and took over ${old.takenOver}; ${said(events)}`,
    ],
  }
}

/** A client that hangs up on whoever stands still, and asks again. */
function withPatience(reply: Promise<Reply>): Promise<Reply> {
  return Promise.race([reply, pause(PATIENCE_MS).then((): Reply => ({ kind: 'lost' }))])
}

/** Several processes at once, as at a deploy. */
async function migrated({ url }: RidesPostgres): Promise<number> {
  const began = performance.now()
  await Promise.all(
    Array.from({ length: MIGRATORS }, async () => {
      const pool = ridesPool(url, { max: 1 })
      await pgStore(pool).migrate()
      await pool.end()
    }),
  )
  return Math.round(performance.now() - began)
}

/**
 * Of lane I: no room is left, in a file of SQLite (`max_page_count`) and, where a small file system may be mounted, on the
 * disk of PostgreSQL's tables. Then there is room again.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { belongs } from '../support/server-process.ts'
import { type Ask, startClients } from './clients.ts'
import type { LaneOptions } from './lane.ts'
import type { Part } from './lane-part.ts'
import {
  createLedger,
  hollowOf,
  type Ledger,
  pause,
  randomOf,
  said,
  violationsOf,
} from './ledger.ts'
import { createRides } from './rides.ts'
import { overPool, ridesPool, startRidesPostgres } from './rides-postgres.ts'
import { createRidesSqlite, overSqlite } from './rides-sqlite.ts'

const LEASE_MS = 400
const CLIENTS = 8
const FULL_FOR_MS = 700
const TIMES = 3
const MEGABYTES = 12

/** Of the application's own statements: those are its to handle, and its client asks again. */
const isFull = (what: string): boolean => /No space left|disk is full|SQLITE_FULL/.test(what)

/** @param again - how it is shown again */
export async function sqliteFull(options: LaneOptions, again: string): Promise<Part> {
  const database = await createRidesSqlite()
  const rides = createRides({ ...overSqlite(database.db), leaseMs: LEASE_MS })
  const pages = (): number => Number(database.db.pragma('page_count', { simple: true }))
  const ledger = createLedger(isFull)
  const full = await fill(options, ledger, rides.ask, {
    full: () => void database.db.pragma(`max_page_count = ${String(pages())}`),
    free: () => void database.db.pragma('max_page_count = 1000000'),
  })
  await rides.idempotency.close()
  const violations = await violationsOf(ledger, database, { again })
  database.remove()
  return { ...full, violations, notes: full.notes.map((note) => `SQLite full: ${note}`) }
}

/** @param again - how it is shown again */
export async function postgresFull(options: LaneOptions, again: string): Promise<Part> {
  const disk = mkdtempSync(join(tmpdir(), 'pawl-small-'))
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${MEGABYTES}m`, 'tmpfs', disk])
  if (mounted.status !== 0) {
    rmSync(disk, { recursive: true })
    const why = mounted.stderr?.toString().trim() ?? String(mounted.error)
    const notes = [
      `a full disk of PostgreSQL was not tried: no small file system may be mounted (${why})`,
    ]
    return { attempted: 0, effective: 0, violations: [], hollow: [], notes }
  }
  chmodSync(disk, 0o700)
  belongs(disk)
  const database = await startRidesPostgres()
  try {
    await database.query(`create tablespace small location '${disk}'`)
    for (const table of ['idempotency_key', 'effects'])
      await database.query(`alter table ${table} set tablespace small`)
    const pool = ridesPool(database.url, { max: 8 })
    const rides = createRides({ ...overPool(pool), leaseMs: LEASE_MS })
    const ledger = createLedger(isFull)
    const filler = join(disk, 'filler')
    const full = await fill(options, ledger, rides.ask, {
      full: () => fillUp(disk, filler),
      free: () => rmSync(filler),
    })
    await rides.idempotency.close()
    await pool.end()
    const violations = await violationsOf(ledger, database, { again })
    return { ...full, violations, notes: full.notes.map((note) => `PostgreSQL full: ${note}`) }
  } finally {
    await database.remove()
    spawnSync('umount', ['-l', disk])
    rmSync(disk, { recursive: true, force: true })
  }
}

/** Whoever writes meanwhile takes some of what was free: then there is no room as well. */
function fillUp(disk: string, filler: string): void {
  const { bavail, bsize } = statfsSync(disk)
  try {
    writeFileSync(filler, Buffer.alloc(bavail * bsize))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  }
}

interface Disk {
  readonly full: () => void
  readonly free: () => void
}

async function fill(
  { seed, scale }: LaneOptions,
  ledger: Ledger,
  asked: Ask,
  disk: Disk,
): Promise<Omit<Part, 'violations'>> {
  const random = randomOf(seed)
  let refused = 0
  let nth = 0
  const clients = startClients({
    ...{ ledger, random, count: CLIENTS, retryMs: 60, nextKey: () => `full-${String(++nth)}` },
    ask: async (key) => {
      const reply = await asked(key)
      const isRefused =
        reply.kind === 'threw' || (reply.kind === 'answer' && reply.code === 'store_unavailable')
      if (isRefused) refused++
      return reply
    },
  })
  const times = Math.max(1, Math.round(TIMES * scale))
  let effective = 0
  for (let time = 0; time < times; time++) {
    await pause(300)
    const before = refused
    disk.full()
    await pause(FULL_FOR_MS)
    disk.free()
    if (refused > before) effective++
  }
  await clients.settle()
  return {
    attempted: times,
    effective,
    hollow: hollowOf({ 'requests refused for want of room': [refused, 1] }),
    notes: [
      `${times} times, ${refused} requests refused; ${ledger.answers.size} keys answered; ${said(ledger.problems)}`,
    ],
  }
}

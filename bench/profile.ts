/**
 * Where the time of a request goes: one workload on a PostgreSQL of its own, profiled, as a flame graph.
 *
 *   npx tsx bench/profile.ts first-request|response|replay|bare [--seconds N] [--svg FILE]
 */
import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { createIdempotency } from 'pawl'
import { pgStore } from 'pawl/pg'
import { startPostgres } from '../test/support/postgres.ts'
import { flameOf, type Profile, shares } from './flame.ts'
import { bookRide, hotKey, insertBare, RIDE } from './workloads.ts'

const WORKLOADS: Readonly<
  Record<string, { readonly at: number; start(pool: pg.Pool): Promise<() => Promise<unknown>> }>
> = {
  bare: { at: 32, start: async (pool) => () => insertBare(pool) },
  'first-request': {
    at: 32,
    start: async (pool) => {
      const idempotency = createIdempotency({ store: pgStore(pool) })
      return () => bookRide(idempotency, randomUUID())
    },
  },
  response: {
    at: 256,
    start: async (pool) => {
      const idempotency = createIdempotency({ store: pgStore(pool) })
      return () => idempotency.run({ ...RIDE, key: randomUUID() }, () => ({ status: 201 }))
    },
  },
  replay: { at: 256, start: (pool) => hotKey(pool) },
}
const POOL = 32
const LISTED = 20

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '10' },
    svg: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})
const [name = ''] = positionals
const workload = WORKLOADS[name]
const seconds = Number(values.seconds)
if (values.help || workload === undefined || !(seconds > 0)) {
  console.log(
    `npx tsx bench/profile.ts ${Object.keys(WORKLOADS).join('|')} [--seconds N] [--svg FILE]`,
  )
  process.exitCode = values.help ? 0 : 2
} else {
  process.env['NODE_ENV'] ??= 'production'
  await profile()
}

async function profile(): Promise<void> {
  if (workload === undefined) return
  const server = await startPostgres()
  const pool = new pg.Pool({ connectionString: server.url, max: POOL })
  try {
    await pgStore(pool).migrate()
    await pool.query(
      'create table bench_ride (id bigserial primary key, destination text not null)',
    )
    const request = await workload.start(pool)
    await run(request, seconds) // Until the compiler has settled.
    const session = new Session()
    session.connect()
    await session.post('Profiler.enable')
    await session.post('Profiler.setSamplingInterval', { interval: 200 })
    await session.post('Profiler.start')
    const used = process.cpuUsage()
    const made = await run(request, seconds)
    const { user, system } = process.cpuUsage(used)
    const { profile: found } = await session.post('Profiler.stop')
    const each = ((user + system) / made).toFixed(0)
    const title = `${name}, ${String(workload.at)} at a time: ${each} µs of this process a request, Node ${process.version}`
    console.log(title)
    for (const { what, share } of shares(found as Profile).slice(0, LISTED))
      console.log(`${(share * 100).toFixed(1).padStart(5)} %  ${what}`)
    if (values.svg !== undefined) writeFileSync(values.svg, flameOf(found as Profile, title))
  } finally {
    await pool.end()
    await server.remove()
  }
}

/** @returns how many requests were made */
async function run(request: () => Promise<unknown>, forSeconds: number): Promise<number> {
  const end = performance.now() + forSeconds * 1_000
  let made = 0
  const client = async (): Promise<void> => {
    while (performance.now() < end) {
      await request()
      made++
    }
  }
  await Promise.all(Array.from({ length: workload?.at ?? 1 }, client))
  return made
}

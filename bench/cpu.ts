/**
 * What a first request takes of the processors, and what it would take at the least: the same statements in the same
 * messages, written by hand, with claims that share statements, and nothing of Pawl's core around them.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type pg from 'pg'
import type { Postgres } from '../test/support/postgres.ts'
import { Batch } from '../src/sql/batch.ts'
import { type ProtocolClient, sendMessage } from '../src/sql/message.ts'
import { postgresTexts } from '../src/sql/postgres.ts'
import { median, settle, slice, type SliceOptions, type Way } from './slices.ts'
import { engineWays } from './workloads.ts'

/** Microseconds of one request, medians of the rounds. */
export interface CpuOfWay {
  readonly name: string
  readonly perSecond: number
  /** Requests a second ÷ those of the handler alone, in the same round. */
  readonly ratio: number
  /** This process: the application, and the clients. */
  readonly application: Cpu
  /** All processes of the server. */
  readonly postgres: Cpu
}

/** In a process's own code, and in the kernel for it. */
export interface Cpu {
  readonly user: number
  readonly system: number
}

const AT = 32
const MICROSECONDS_PER_TICK = 10_000

type Server = Pick<Postgres, 'processes'>

export async function measureCpu(
  { pool, server }: { readonly pool: pg.Pool; readonly server: Server },
  { settleMs, ...slices }: Omit<SliceOptions, 'concurrency'> & { readonly settleMs: number },
): Promise<CpuOfWay[]> {
  const [bare, guarded] = engineWays(pool)
  const ways = [bare, byHand(pool), guarded]
  const options = { ...slices, concurrency: AT }
  await settle(ways, settleMs)
  const samples = ways.map(() => [] as Sample[])
  for (let round = 0; round < options.pairs; round++) {
    for (const at of round % 2 === 0 ? [0, 1, 2] : [2, 1, 0]) {
      samples[at]?.push(await sample(ways[at] as Way, server, options))
    }
  }
  return ways.map(({ name }, at) => ofWay(name, samples[at] ?? [], samples[0] ?? []))
}

interface Sample {
  readonly rate: number
  readonly application: Cpu
  readonly postgres: Cpu
}

async function sample(way: Way, server: Server, options: SliceOptions): Promise<Sample> {
  const application = process.cpuUsage()
  const postgres = ofServer(server)
  const { rate, answered } = await slice(way, options, options.sliceMs)
  return {
    rate,
    application: each(process.cpuUsage(), application, answered),
    postgres: each(ofServer(server), postgres, answered),
  }
}

function each(after: Cpu, before: Cpu, requests: number): Cpu {
  return {
    user: (after.user - before.user) / requests,
    system: (after.system - before.system) / requests,
  }
}

function ofWay(name: string, samples: readonly Sample[], bare: readonly Sample[]): CpuOfWay {
  const of = (whose: 'application' | 'postgres'): Cpu => ({
    user: median(samples.map((one) => one[whose].user)),
    system: median(samples.map((one) => one[whose].system)),
  })
  return {
    name,
    perSecond: median(samples.map(({ rate }) => rate)),
    ratio: median(samples.map(({ rate }, at) => rate / (bare[at]?.rate ?? Number.NaN))),
    application: of('application'),
    postgres: of('postgres'),
  }
}

/** What the processes of the server have taken so far; those that have ended as well. */
function ofServer(server: Server): Cpu {
  let user = 0
  let system = 0
  for (const [at, pid] of server.processes().entries()) {
    const [utime = 0, stime = 0, childrenUser = 0, childrenSystem = 0] = ticksOf(pid)
    // The server itself is the first: it has waited for those that have ended.
    user += utime + (at === 0 ? childrenUser : 0)
    system += stime + (at === 0 ? childrenSystem : 0)
  }
  return { user: user * MICROSECONDS_PER_TICK, system: system * MICROSECONDS_PER_TICK }
}

/** User, system, and both of children that have ended. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
function ticksOf(pid: number): number[] {
  let stat: string
  try {
    stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8')
  } catch {
    return [] // It has ended meanwhile.
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return [11, 12, 13, 14].map((at) => Number(fields[at]))
}

const LIMIT_MS = 10_000
const plain = (name: string, text: string) => ({ name: `hand_${name}`, text, values: [] })
const OPENING = [
  plain('begin', 'begin isolation level read committed'),
  ...['lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout'].map((name) =>
    plain(name, `set local ${name} = '${String(LIMIT_MS)}ms'`),
  ),
]
const COMMIT = plain('commit', 'commit')
/** The application's: as it asks for it in the other two ways, not prepared. */
const INSERT = {
  name: '',
  text: 'insert into bench_ride (destination) values ($1)',
  values: ['Oslo'],
}

function byHand(pool: pg.Pool): Way {
  const texts = postgresTexts('"idempotency_key"')
  const claims = new Batch<ReturnType<typeof newClaim>, undefined>({
    ...{ doing: 'claiming', sizeMax: 256, weightMax: 4_194_304, waitingMax: 10_000 },
    weigh: () => 0,
    failsTogether: () => true,
    now: () => performance.now(),
    run: async (items) => {
      const claim = { name: 'hand_claim', text: texts.claim, values: [JSON.stringify(items)] }
      await pool.query(claim)
      return items.map(() => undefined)
    },
  })
  const headers = JSON.stringify([['content-type', 'application/json; charset=utf-8']])
  const body = Buffer.from('{"to":"Oslo"}')
  return {
    name: 'its statements by hand',
    request: async () => {
      const claim = newClaim()
      await claims.add(claim)
      const client = await pool.connect()
      try {
        const protocol = client as unknown as ProtocolClient
        await sendMessage(protocol, [...OPENING, INSERT], ignore)
        const held = [claim.id, claim.owner, 1, 'started']
        const values = [...held, 201, headers, body, claim.retention_ms, 0]
        const fence = { name: 'hand_fence', text: texts.fenceFinish, values }
        await sendMessage(protocol, [fence, COMMIT], ignore)
      } finally {
        client.release()
      }
    },
  }
}

function ignore(): void {
  // It is thrown as well.
}

function newClaim() {
  return {
    id: `ikey_${randomUUID().replaceAll('-', '')}`,
    scope: 'bench',
    operation: 'create-ride',
    key: randomUUID(),
    fingerprint: 'v1:'.padEnd(67, '0'),
    owner: randomUUID().slice(0, 16),
    lease_ms: LIMIT_MS,
    retention_ms: 86_400_000,
  }
}

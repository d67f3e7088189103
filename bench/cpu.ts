/**
 * What a first request takes of the processors, and what it would take at the least: the same statements in the same
 * messages, written by hand, with claims that share statements, and nothing of Pawl's core around them.
 */
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type pg from 'pg'
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
  /** All processes of the server. Null where there is no /proc. */
  readonly postgres: Cpu | null
}

/** In a process's own code, and in the kernel for it. */
export interface Cpu {
  readonly user: number
  readonly system: number
}

const AT = 32
const MICROSECONDS_PER_TICK = 10_000

/** @param data - the folder of the server's data */
export async function measureCpu(
  { pool, data }: { readonly pool: pg.Pool; readonly data: string },
  { settleMs, ...slices }: Omit<SliceOptions, 'concurrency'> & { readonly settleMs: number },
): Promise<CpuOfWay[]> {
  const [bare, guarded] = engineWays(pool)
  const ways = [bare, byHand(pool), guarded]
  const options = { ...slices, concurrency: AT }
  await settle(ways, settleMs)
  const samples = ways.map(() => [] as Sample[])
  for (let round = 0; round < options.pairs; round++) {
    for (const at of round % 2 === 0 ? [0, 1, 2] : [2, 1, 0]) {
      samples[at]?.push(await sample(ways[at] as Way, data, options))
    }
  }
  return ways.map(({ name }, at) => ofWay(name, samples[at] ?? [], samples[0] ?? []))
}

interface Sample {
  readonly rate: number
  readonly application: Cpu
  readonly postgres: Cpu | null
}

async function sample(way: Way, data: string, options: SliceOptions): Promise<Sample> {
  const application = process.cpuUsage()
  const postgres = ofServer(data)
  const { rate, answered } = await slice(way, options, options.sliceMs)
  return {
    rate,
    application: each(process.cpuUsage(), application, answered),
    postgres: postgres && each(ofServer(data) ?? postgres, postgres, answered),
  }
}

function each(after: Cpu, before: Cpu, requests: number): Cpu {
  return {
    user: (after.user - before.user) / requests,
    system: (after.system - before.system) / requests,
  }
}

function ofWay(name: string, samples: readonly Sample[], bare: readonly Sample[]): CpuOfWay {
  const of = (cpu: (one: Sample) => Cpu | null, part: keyof Cpu): number =>
    median(samples.map((one) => cpu(one)?.[part] ?? Number.NaN))
  const both = (cpu: (one: Sample) => Cpu | null): Cpu => ({
    user: of(cpu, 'user'),
    system: of(cpu, 'system'),
  })
  return {
    name,
    perSecond: median(samples.map(({ rate }) => rate)),
    ratio: median(samples.map(({ rate }, at) => rate / (bare[at]?.rate ?? Number.NaN))),
    application: both(({ application }) => application),
    postgres: samples[0]?.postgres == null ? null : both(({ postgres }) => postgres),
  }
}

/** What the server and its children have taken so far; those that have ended as well. */
function ofServer(data: string): Cpu | null {
  let pids: string[]
  let server: string
  try {
    server = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[0] ?? ''
    pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  } catch {
    return null
  }
  let user = 0
  let system = 0
  for (const pid of pids) {
    const fields = statOf(pid)
    if (fields === undefined) continue
    const [parent, utime = 0, stime = 0, cutime = 0, cstime = 0] = fields
    if (pid !== server && String(parent) !== server) continue
    user += utime + (pid === server ? cutime : 0)
    system += stime + (pid === server ? cstime : 0)
  }
  return { user: user * MICROSECONDS_PER_TICK, system: system * MICROSECONDS_PER_TICK }
}

/** Parent, and ticks: user, system, and both of children that have ended. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
function statOf(pid: string): number[] | undefined {
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return undefined // It has ended meanwhile.
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return [1, 11, 12, 13, 14].map((at) => Number(fields[at]))
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
const INSERT = {
  name: 'hand_insert',
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

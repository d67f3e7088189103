/** First requests by 1, 2 and 4 processes with a pool each, on one database, in alternating slices. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { type GrowthGround, type Series, seriesOf } from './growth.ts'
import type { Run } from './slices.ts'

const PROCESSES = [1, 2, 4]
const CLIENTS = 32

/** What a worker is asked for. */
export interface SliceAsked {
  readonly ms: number
  readonly clients: number
}

/** And its answer: requests that were answered, and how long that took. */
export interface SliceDone {
  readonly answered: number
  readonly ms: number
}

export async function processesSeries(ground: GrowthGround): Promise<Series> {
  const { url, poolSize, slices, say } = ground
  say('1 to 4 processes …')
  const workers = Array.from({ length: Math.max(...PROCESSES) }, () =>
    fork(new URL('growth-worker.ts', import.meta.url), {
      env: { ...process.env, DATABASE_URL: url, BENCH_POOL: String(poolSize) },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    }),
  )
  try {
    const rateOf = async (count: number, ms: number): Promise<number> => {
      const asked = workers.slice(0, count).map((worker) => slice(worker, { ms, clients: CLIENTS }))
      const done = await Promise.all(asked)
      return done.reduce((sum, { answered, ms: took }) => sum + (answered * 1_000) / took, 0)
    }
    await rateOf(workers.length, slices.warmMs)
    const rates = PROCESSES.map((): number[] => [])
    for (let round = 0; round < slices.pairs; round++) {
      const order = [...PROCESSES.entries()]
      for (const [at, count] of round % 2 === 0 ? order : order.reverse()) {
        rates[at]?.push(await rateOf(count, slices.sliceMs))
      }
    }
    const runs = PROCESSES.map((count, at): Run => ({
      name: `${String(count)} processes`,
      concurrency: count * CLIENTS,
      rates: rates[at] ?? [],
      refused: 0,
      made: Number.NaN,
    }))
    const about = { name: 'first request', of: 'processes', reference: 1 }
    return seriesOf(about, PROCESSES, runs)
  } finally {
    for (const worker of workers) worker.disconnect()
  }
}

async function slice(worker: ChildProcess, asked: SliceAsked): Promise<SliceDone> {
  const ended = new AbortController()
  try {
    worker.send(asked)
    const done = once(worker, 'message', { signal: ended.signal })
    const exit = once(worker, 'exit', { signal: ended.signal }).then(([code]) => {
      throw new Error(`a worker ended with ${String(code)}`)
    })
    const [answer] = await Promise.race([done, exit])
    return answer as SliceDone
  } finally {
    ended.abort()
  }
}

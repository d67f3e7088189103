/** One of several processes: makes first requests for as long as it is asked to, ends with its parent. */
import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { createIdempotency } from 'pawl'
import { pgStore } from 'pawl/pg'
import type { SliceAsked, SliceDone } from './growth-processes.ts'
import { bookRide } from './workloads.ts'

const pool = new pg.Pool({
  connectionString: process.env['DATABASE_URL'],
  max: Number(process.env['BENCH_POOL']),
})
const idempotency = createIdempotency({ store: pgStore(pool) })

async function slice({ ms, clients }: SliceAsked): Promise<SliceDone> {
  const start = performance.now()
  let answered = 0
  const client = async (): Promise<void> => {
    while (performance.now() < start + ms) {
      await bookRide(idempotency, randomUUID())
      answered++
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  return { answered, ms: performance.now() - start }
}

process.on('message', (asked: SliceAsked) => {
  void slice(asked).then((done) => process.send?.(done))
})
process.on('disconnect', () => process.exit())

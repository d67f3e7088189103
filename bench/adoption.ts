/**
 * What adopting the table of a running Medusa v1 back end costs it: a million keys, the published service at work on
 * them all the while, then both services on the same rows.
 */
import { randomUUID } from 'node:crypto'
import type { Backends, Service } from './services.ts'
import { median } from './slices.ts'

const ROWS = 1_000_000
const CLIENTS = 8
const BEFORE_MS = 3_000
const AFTER_MS = 3_000
const MIXED = 400

/** Milliseconds, but for the counts. */
export interface Adoption {
  readonly rows: number
  readonly adoptMs: number
  readonly revertMs: number
  /** Of the requests that were made while nothing happened, and of those in flight when columns came or went. */
  readonly medianRequestMs: number
  readonly longestRequestMs: number
  readonly longestDuringMs: number
  readonly requests: number
  readonly failed: number
  /** The table's file is another one. */
  readonly isRewritten: boolean
  /** Requests that one service began and the other finished. */
  readonly mixed: number
}

interface Request {
  readonly startedAt: number
  readonly ms: number
}

/** Runs it on a back end of the published service. */
export async function measureAdoption(
  { dataSource, ours, theirs, adopt, revert }: Backends,
  say: (line: string) => void,
): Promise<Adoption> {
  say(`Adoption: ${ROWS.toLocaleString('en')} keys …`)
  await dataSource.query(
    `insert into idempotency_key (id, idempotency_key, request_method, request_params, request_path, response_code,
                                  response_body, recovery_point)
     select 'ikey_' || n, 'old-' || n, 'POST', '{"id":"cart"}', '/complete', 200, '{"type":"order"}', 'finished'
       from generate_series(1, $1::int) n`,
    [ROWS],
  )
  await dataSource.query('vacuum analyze idempotency_key')
  const file = (): Promise<unknown> =>
    dataSource
      .query<{ file: string }[]>(`select pg_relation_filenode('idempotency_key') as file`)
      .then(([row]) => row?.file)
  const before = await file()

  const load = startLoad(theirs)
  await sleep(BEFORE_MS)
  const adopted = await timed(adopt)
  await sleep(AFTER_MS)
  const mixed = await work(ours, theirs)
  const reverted = await timed(revert)
  await sleep(1_000)
  const { requests, failed } = await load.stop()

  const during = requests.filter((request) =>
    [adopted, reverted].some(
      ({ startedAt, ms }) =>
        request.startedAt < startedAt + ms && request.startedAt + request.ms > startedAt,
    ),
  )
  const times = requests.map(({ ms }) => ms)
  return {
    rows: ROWS,
    adoptMs: adopted.ms,
    revertMs: reverted.ms,
    medianRequestMs: median(times),
    longestRequestMs: longest(requests.filter((request) => !during.includes(request))),
    longestDuringMs: longest(during),
    requests: requests.length,
    failed,
    isRewritten: before !== (await file()),
    mixed,
  }
}

/** Each service goes on where the other has stopped. @throws where it does not */
async function work(ours: () => Service, theirs: () => Service): Promise<number> {
  for (let n = 0; n < MIXED; n++) {
    const [first, second] = n % 2 === 0 ? [theirs, ours] : [ours, theirs]
    const begun = await first().initializeRequest('', 'POST', {}, '/rides')
    const key = begun.idempotency_key
    const response_body = { n }
    const done = await second().workStage(key, () =>
      Promise.resolve({ response_code: 201, response_body }),
    )
    const replays = [
      await first().initializeRequest(key, 'POST', {}, '/rides'),
      await second().initializeRequest(key, 'POST', {}, '/rides'),
    ]
    for (const { response_code, response_body: body } of [done, ...replays]) {
      if (response_code !== 201 || body['n'] !== n) throw new Error(`${key} was not finished`)
    }
  }
  return MIXED
}

function startLoad(service: () => Service): {
  stop(): Promise<{ requests: Request[]; failed: number }>
} {
  const requests: Request[] = []
  let failed = 0
  let isOver = false
  const client = async (): Promise<void> => {
    while (!isOver) {
      const startedAt = performance.now()
      try {
        const { idempotency_key } = await service().initializeRequest(
          randomUUID(),
          'POST',
          {},
          '/load',
        )
        await service().workStage(idempotency_key, () =>
          Promise.resolve({ response_code: 201, response_body: {} }),
        )
      } catch (error) {
        // Serialization failures of the original are its own, with or without this.
        if ((error as { code?: unknown }).code !== '40001') failed++
      }
      requests.push({ startedAt, ms: performance.now() - startedAt })
    }
  }
  const clients = Promise.all(Array.from({ length: CLIENTS }, client))
  return {
    stop: async () => {
      isOver = true
      await clients
      return { requests, failed }
    },
  }
}

async function timed(run: () => Promise<void>): Promise<Request> {
  const startedAt = performance.now()
  await run()
  return { startedAt, ms: performance.now() - startedAt }
}

function longest(requests: readonly Request[]): number {
  return requests.reduce((most, { ms }) => Math.max(most, ms), 0)
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

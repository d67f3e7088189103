/** The peers under `--only peers`, in the order in which they are shown. */
import type { Peer } from './peers.ts'
import { dbosStep, dbosTransaction } from './peers/dbos.ts'
import { honoIdempotency } from './peers/hono-idempotency.ts'
import { nodeIdempotencyPostgres, nodeIdempotencyRedis } from './peers/node-idempotency.ts'
import { powertools } from './peers/powertools.ts'
import { idempot, nestarc } from './peers/unwritten.ts'

export const PEERS: readonly Peer[] = [
  nodeIdempotencyRedis,
  powertools,
  honoIdempotency,
  idempot,
  nestarc,
  nodeIdempotencyPostgres,
  dbosTransaction,
  dbosStep,
]

/** What ratios are found by. */
export const RATIO_PEERS: readonly Peer[] = [
  nodeIdempotencyRedis,
  powertools,
  honoIdempotency,
  dbosTransaction,
]

/** The lanes, in their order. */
import { acknowledgementLane } from './acknowledgement-lane.ts'
import { conflictLane } from './conflict-lane.ts'
import { failpointLane } from './failpoint-lane.ts'
import { killLane } from './kill-lane.ts'
import type { Lane } from './lane.ts'
import { lifecycleLane } from './lifecycle-lane.ts'
import { mutationLane } from './mutation-lane.ts'
import { networkLane } from './network-lane.ts'
import { redisLane } from './redis-lane.ts'
import { restartLane } from './restart-lane.ts'
import { simulationLane } from './simulation-lane.ts'
import { zombieLane } from './zombie-lane.ts'

export const LANES: readonly Lane[] = [
  simulationLane,
  failpointLane,
  killLane,
  zombieLane,
  acknowledgementLane,
  restartLane,
  networkLane,
  conflictLane,
  lifecycleLane,
  redisLane,
  mutationLane,
]

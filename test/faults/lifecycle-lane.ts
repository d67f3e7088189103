/** Lane I: outcomes that expire, a table that is migrated, a disk that is full, handlers slower than their lease. */
import { expiryPart } from './expiry-part.ts'
import { postgresFull, sqliteFull } from './full-disk-part.ts'
import { type Part, together } from './lane-part.ts'
import type { Lane } from './lane.ts'
import { migrationPart } from './migration-part.ts'
import { slowPart } from './slow-part.ts'

export const lifecycleLane: Lane = {
  letter: 'I',
  title: 'expiry and reaper, migration under load, a full disk, handlers slower than their lease',
  run: async (options) => {
    const { seed, scale } = options
    const again = `npm run test:faults -- --lanes I --seed ${String(seed)} --scale ${String(scale)}`
    const parts: Part[] = []
    for (const part of [expiryPart, migrationPart, sqliteFull, postgresFull, slowPart]) {
      parts.push(await part(options, again))
      options.say(`${String(parts.length)} of 5 parts`)
    }
    return { ...together(parts), figures: {} }
  },
}

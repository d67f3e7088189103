/** Draws the faults of a world, and counts those that hit something that was going on. */
import type { History } from '../history.ts'
import type { FaultRates } from './mix.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'

/** Faults. */
export interface Faults {
  /** Whether the next thing of this kind is hit; it is counted then, for it is under way. */
  hit(fault: keyof FaultRates, on: string): boolean
  /** A fault of the world's own making. */
  tell(fault: string, on: string, isEffective: boolean): void
  /** From here on nothing is hit. */
  end(): void
  readonly isOver: boolean
  readonly attempted: number
  readonly effective: number
  readonly byName: ReadonlyMap<string, number>
}

/** The faults of a world. */
export function faultsOf(
  rates: FaultRates,
  random: Random,
  scheduler: Scheduler,
  history: History,
): Faults {
  let isOver = false
  let attempted = 0
  let effective = 0
  const byName = new Map<string, number>()
  const tell = (fault: string, on: string, isEffective: boolean): void => {
    if (isOver) return
    attempted++
    if (!isEffective) return
    effective++
    byName.set(fault, (byName.get(fault) ?? 0) + 1)
    history.add({ op: 'fault', at: scheduler.now, fault, on })
  }
  return {
    hit: (fault, on) => {
      const rate = rates[fault]
      if (isOver || rate === 0 || !random.chance(rate)) return false
      tell(fault, on, true)
      return true
    },
    tell,
    end: () => {
      isOver = true
    },
    get isOver() {
      return isOver
    },
    get attempted() {
      return attempted
    },
    get effective() {
      return effective
    },
    byName,
  }
}

/** A lane's share of a run: what a slow machine does not get done in it is said, and the run goes on. */

/** The time a lane has. */
export interface TimeShare {
  isOver(): boolean
  /** What to say of a target that was not met in time; nothing, if it was. */
  missed(what: string, count: number, target: number): readonly string[]
  /** Of a target, what must have been met all the same. */
  least(count: number, target: number): number
}

/** @param scale - a run of twice as much has twice the time, one of half as much no less */
export function timeShare(seconds: number, scale: number): TimeShare {
  const began = performance.now()
  const share = seconds * Math.max(1, scale)
  const isOver = (): boolean => performance.now() - began > share * 1_000
  return {
    isOver,
    missed: (what, count, target) => missed(what, count, target, share),
    least: (count, target) => (isOver() ? Math.min(Math.max(1, count), target) : target),
  }
}

/** What to say of a target that was not met in so many seconds; nothing, if it was. */
export function missed(
  what: string,
  count: number,
  target: number,
  seconds: number,
): readonly string[] {
  if (count >= target) return []
  const wanted = Math.ceil(target)
  return [`${what}: ${count} of ${wanted}; ${seconds} s were over, and the processors busy`]
}

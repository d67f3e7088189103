/**
 * The other system: it takes calls, does what they ask for, and remembers by downstream key. Asked what became of one,
 * it says the truth, and holds to it: after it said "never" it refuses every attempt that had begun by then, also one
 * that stood still before it sent anything. Pawl rests on that, and cannot do it in its place.
 */
import type { History } from '../history.ts'
import type { Faults } from './faults.ts'
import type { Mix } from './mix.ts'
import type { Random } from './random.ts'
import type { Host, Scheduler } from './scheduler.ts'

/** One call. */
export interface Sending {
  readonly id: string
  readonly execution: string | undefined
  readonly call: string
  readonly downstreamKey: string
  readonly repeatable: boolean
}

/** The other system. */
export interface Provider {
  /** @param begunAt - when its attempt began */
  send(from: Host & { readonly name: string }, sending: Sending, begunAt: number): Promise<string>
  /** What came of it; undefined: it does not know now. */
  lookUp(
    from: Host,
    downstreamKey: string,
  ): Promise<'never' | { readonly answer: string } | undefined>
}

/** Nothing has left: what Pawl takes for `not_sent`. */
function notSent(): Error {
  return Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
}

/** The other system of a world. */
export function providerOf(
  scheduler: Scheduler,
  random: Random,
  mix: Mix,
  faults: Faults,
  history: History,
): Provider {
  const done = new Map<string, string>()
  const refusedUntil = new Map<string, number>()
  let answers = 0
  const arrive = (sending: Sending, begunAt: number): string | undefined => {
    const { downstreamKey, repeatable } = sending
    const isRefused = begunAt <= (refusedUntil.get(downstreamKey) ?? -1)
    const known = repeatable ? done.get(downstreamKey) : undefined
    const answer = isRefused ? undefined : (known ?? `answer ${String(++answers)}`)
    if (answer !== undefined) done.set(downstreamKey, answer)
    history.add({ op: 'sent', at: scheduler.now, ...sending, happened: answer !== undefined })
    return answer
  }
  return {
    send: async (from, sending, begunAt) => {
      const sentAt = scheduler.now
      const fault = faults.hit('call', from.name)
        ? random.pick(['not sent', 'lost', 'unanswered', 'late'] as const)
        : undefined
      if (fault === 'not sent') {
        history.add({ op: 'sent', at: sentAt, ...sending, happened: false })
        await scheduler.wait(1, from)
        throw notSent()
      }
      const latency = fault === 'late' ? mix.leaseMs * random.next() * 2 : random.scaled(0.5, 20)
      return await new Promise<string>((resolve, reject) => {
        const hear = (call: () => void): void => void scheduler.after(1, from, call)
        if (fault === 'lost' || fault === 'late')
          hear(() => reject(new Error('read ECONNRESET by the provider')))
        scheduler.after(latency, undefined, () => {
          if (fault === 'lost') {
            history.add({ op: 'sent', at: scheduler.now, ...sending, happened: false })
            return
          }
          const answer = arrive(sending, begunAt)
          hear(() => {
            if (answer === undefined || fault === 'unanswered') reject(new Error('socket hang up'))
            else resolve(answer)
          })
        })
      })
    },
    lookUp: async (from, downstreamKey) => {
      await scheduler.wait(random.scaled(0.5, 20), from)
      if (!faults.isOver && random.chance(0.2)) return undefined
      const answer = done.get(downstreamKey)
      if (answer !== undefined) return { answer }
      refusedUntil.set(downstreamKey, scheduler.now)
      return 'never'
    },
  }
}

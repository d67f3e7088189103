/** The clients of a simulated world: they ask, wait, ask again, all at once, or after the answer, or never again. */
import type { RequestEvent } from '../history.ts'
import type { Faults } from './faults.ts'
import type { Mix } from './mix.ts'
import type { ClientRequest, Node } from './node.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'

/** What clients need. */
export interface ClientsOptions {
  readonly scheduler: Scheduler
  readonly random: Random
  readonly mix: Mix
  readonly faults: Faults
  /** Those that take requests. */
  readonly nodes: () => readonly Node[]
}

type Answer = RequestEvent['answer'] & { readonly retryAfterMs?: number }

/** All of them. */
export interface Clients {
  readonly isDone: boolean
  /** Asks once more for everything that was asked for. */
  askAll(): void
}

/** Answers after which asking again is of no use. */
const FINAL: ReadonlySet<string> = new Set(['payload_mismatch', 'attempts_exhausted'])

/** Starts the clients of a world. */
export function clientsOf(options: ClientsOptions): Clients {
  const { random, mix, scheduler } = options
  const asked = new Map<string, ClientRequest>()
  let open = 0
  const begin = (work: Promise<void>): void => {
    open++
    void work.then(() => open--)
  }
  const requestOf = (scope: string, key: string, label: string): ClientRequest => {
    const input = { scope, fingerprint: label }
    const request = { scope, key, input }
    asked.set(`${scope} ${key} ${label}`, request)
    return request
  }
  for (let at = 0; at < mix.keys; at++) {
    // Two scopes use one key between them.
    const scope = at % 2 === 0 ? 'tenant a' : 'tenant b'
    const key = `key ${String(at >> 1)}`
    const isStorm = random.chance(0.3)
    const stormAt = random.between(0, mix.faultsMs / 2)
    for (let client = 0; client < mix.clientsOfKey; client++) {
      const startMs = isStorm ? stormAt + random.next() : random.between(0, mix.faultsMs * 0.8)
      const era =
        mix.retentionMs < 60_000 && random.chance(0.7) ? Math.floor(startMs / mix.retentionMs) : 0
      const label = random.chance(0.1) ? 'another' : `input ${String(era)}`
      begin(live(options, startMs, requestOf(scope, key, label)))
    }
  }
  return {
    get isDone() {
      return open === 0
    },
    askAll: () => {
      for (const request of asked.values()) {
        const once = async (): Promise<void> => {
          await scheduler.wait(random.between(0, mix.leaseMs), undefined)
          await ask(options, request)
        }
        begin(once())
      }
    },
  }
}

async function live(
  options: ClientsOptions,
  startMs: number,
  request: ClientRequest,
): Promise<void> {
  const { random, mix, scheduler, faults } = options
  await scheduler.wait(startMs, undefined)
  const triesMax = 1 + random.below(8)
  let again = random.chance(0.3) ? 1 + random.below(2) : 0
  for (let tries = 1; tries <= triesMax; tries++) {
    const answer = await ask(options, request)
    if (answer?.type === 'fail' && FINAL.has(answer.code)) return
    if (answer?.type === 'ok') {
      if (again-- === 0 || faults.isOver) return
      tries = 0
      await scheduler.wait(random.scaled(1, mix.leaseMs * 4), undefined)
    } else {
      const ms = random.chance(0.5) ? (answer?.retryAfterMs ?? 0) : 0
      await scheduler.wait(ms + random.scaled(1, mix.leaseMs), undefined)
    }
  }
}

/** One request and its answer; undefined: none came in time. */
function ask(options: ClientsOptions, request: ClientRequest): Promise<Answer | undefined> {
  const { scheduler, random, mix, faults, nodes } = options
  const patienceMs = random.scaled(mix.leaseMs / 2, mix.leaseMs * 6) + mix.waitMs
  const fault = faults.hit('client', 'client')
    ? random.pick(['lost', 'unanswered', 'twice', 'late'] as const)
    : undefined
  return new Promise((resolve) => {
    const cancel = scheduler.after(patienceMs, undefined, () => resolve(undefined))
    const send = (ms: number): void => {
      const node = random.pick(nodes())
      scheduler.after(ms, node, () => {
        void node.handle(request).then((answer) => {
          if (fault === 'unanswered') return
          scheduler.after(random.scaled(0.1, 5), undefined, () => {
            cancel()
            resolve(answer)
          })
        })
      })
    }
    if (fault === 'lost' || nodes().length === 0) return
    send(fault === 'late' ? mix.leaseMs * random.between(0.5, 2) : random.scaled(0.1, 5))
    if (fault === 'twice') send(random.scaled(0.1, mix.leaseMs))
  })
}

/**
 * The store of responses in Redis: at-least-once with duplicate suppression. Every change compares owner, attempt and
 * revision in one script, on the server's clock; what Redis acknowledged it may still lose in a failover, and then a
 * request runs again. Protocol: docs/internals/protocol.md; why no stages: ADR 0023.
 */
import { ConfigError } from '../core/errors.ts'
import type { FoundRecord, StoppedState, WholeRecord } from '../core/record.ts'
import { NO_TRANSACTIONS, type ResponseStore } from '../core/response-run.ts'
import { stagesText } from '../core/record.ts'
import type {
  ClaimInput,
  ClaimReply,
  ForgetInput,
  Hold,
  ResetInput,
  RestartInput,
  Seen,
  StoreProblem,
  TakeOverInput,
  Write,
} from '../core/store.ts'
import { problemsOf } from './redis-check.ts'
import { type Redis, type RedisClientLike, redisOf } from './redis-clients.ts'
import { errorOf } from './redis-errors.ts'
import { recordOf, textOf, wholeRecordOf } from './redis-record.ts'
import * as scripts from './scripts.ts'

const PREFIX = /^[\x21-\x7e]{0,100}$/

/** How the store uses Redis. */
export interface RedisStoreOptions {
  /** In front of every key. `'pawl:'` by default. Braces of a hash tag would put all records into one slot. */
  readonly prefix?: string
}

/**
 * Keeps responses in Redis 7 or newer, or in a cluster of it: at-least-once, with duplicates suppressed while Redis
 * remembers. There are no stages.
 *
 * @param client - connected: of `redis` (a client, a pool, a cluster) or `ioredis` (a client, a cluster)
 * @throws {@link ConfigError} it is no such client, or `prefix` cannot be used
 */
export function redisStore(
  client: RedisClientLike,
  options: RedisStoreOptions = {},
): ResponseStore {
  const redis = redisOf(client)
  if (redis === undefined)
    throw new ConfigError("redisStore: expected a client or cluster of 'redis' or 'ioredis'.")
  return new RedisStore(redis, prefixOf(options))
}

/** @throws {@link ConfigError} */
export function prefixOf({ prefix = 'pawl:' }: RedisStoreOptions): string {
  if (typeof prefix !== 'string' || !PREFIX.test(prefix) || /[{}]/.test(prefix)) {
    throw new ConfigError(
      'prefix: expected at most 100 printable ASCII characters without spaces and braces.',
    )
  }
  return prefix
}

class RedisStore implements ResponseStore {
  readonly #redis: Redis
  readonly #prefix: string
  /** Redis was seen to keep what it is given. Undefined: nobody has looked yet. */
  #keeps: Promise<void> | undefined
  readonly commit = NO_TRANSACTIONS.commit
  readonly transaction = NO_TRANSACTIONS.transaction

  constructor(redis: Redis, prefix: string) {
    this.#redis = redis
    this.#prefix = prefix
  }

  async migrate(): Promise<void> {
    await this.#mustKeep()
  }

  async check(): Promise<readonly StoreProblem[]> {
    return await this.#asked('checking', problemsOf(this.#redis))
  }

  async claim(input: ClaimInput): Promise<ClaimReply> {
    await this.#mustKeep()
    const { id, owner, fingerprint, method = '', path = '', scope, operation, key } = input
    const times = [String(input.leaseMs), String(input.retentionMs)]
    const about = [owner, fingerprint, method, path, ...times, scope, operation, key]
    const reply = await this.#run('claiming', scripts.CLAIM, id, about)
    return Array.isArray(reply)
      ? { kind: 'found', record: recordOf(id, reply) }
      : { kind: 'inserted', execution: textOf(reply) }
  }

  async takeOver(input: TakeOverInput): Promise<FoundRecord | undefined> {
    const { id, attempt, revision, owner, leaseMs } = input
    const args = [String(attempt), String(revision), owner, String(leaseMs)]
    return found(id, await this.#run('taking over', scripts.TAKE_OVER, id, args))
  }

  async stop({ id, attempt, revision }: Seen, to: StoppedState): Promise<boolean> {
    const args = [String(attempt), String(revision), to]
    return (await this.#run('stopping a record', scripts.STOP, id, args)) === 1
  }

  async restart(input: RestartInput): Promise<boolean> {
    const { id, attempt, revision, state, recoveryPoint } = input
    const args = [String(attempt), String(revision), state, recoveryPoint, stagesText(input.stages)]
    return (await this.#run('restarting a record', scripts.RESTART, id, args)) === 1
  }

  async reset(input: ResetInput): Promise<FoundRecord | undefined> {
    const { id, attempt, owner, fingerprint, method = '', path = '' } = input
    const times = [String(input.leaseMs), String(input.retentionMs)]
    const args = [String(attempt), owner, fingerprint, method, path, ...times]
    return found(id, await this.#run('starting anew', scripts.RESET, id, args))
  }

  async write(hold: Hold, write: Write): Promise<boolean> {
    const { script, args } = changeOf(write)
    const held = [hold.owner, String(hold.attempt), ...args]
    return (await this.#run('recording', script, hold.id, held)) === 1
  }

  async reread(id: string): Promise<FoundRecord | undefined> {
    return found(id, await this.#run('reading a record again', scripts.REREAD, id, []))
  }

  async find(id: string): Promise<WholeRecord | undefined> {
    const reply = await this.#run('finding a record', scripts.FIND, id, [])
    return Array.isArray(reply) ? wholeRecordOf(id, reply) : undefined
  }

  async heartbeat(holds: readonly Hold[], leaseMs: number): Promise<readonly Hold[]> {
    const renewed = await Promise.all(
      holds.map(({ id, owner, attempt }) => {
        const args = [owner, String(attempt), String(leaseMs)]
        return this.#run('renewing leases', scripts.RENEW, id, args)
      }),
    )
    return holds.filter((_, at) => renewed[at] !== 1)
  }

  /** Redis deletes what has expired by itself. */
  reap(): Promise<number> {
    return Promise.resolve(0)
  }

  async forget({ id, attempt, revision, state }: ForgetInput): Promise<boolean> {
    const args = [String(attempt), String(revision), state]
    return (await this.#run('forgetting a record', scripts.FORGET, id, args)) === 1
  }

  #mustKeep(): Promise<void> {
    this.#keeps ??= this.#look().catch((error: unknown) => {
      this.#keeps = undefined // The next one looks again.
      throw error
    })
    return this.#keeps
  }

  async #look(): Promise<void> {
    const problems = await this.check()
    const evicts = problems.find(({ code }) => code === 'evicts')
    if (evicts !== undefined) throw new ConfigError(`redisStore: ${evicts.message}`)
  }

  #run(
    doing: string,
    script: scripts.Script,
    id: string,
    args: readonly (string | Buffer)[],
  ): Promise<unknown> {
    return this.#asked(doing, this.#redis.run(script, `${this.#prefix}${id}`, args))
  }

  async #asked<R>(doing: string, answer: Promise<R>): Promise<R> {
    try {
      return await answer
    } catch (error) {
      throw errorOf(doing, error)
    }
  }
}

function found(id: string, reply: unknown): FoundRecord | undefined {
  return Array.isArray(reply) ? recordOf(id, reply) : undefined
}

interface Change {
  readonly script: scripts.Script
  readonly args: readonly (string | Buffer)[]
}

function changeOf(write: Write): Change {
  if (write.kind === 'release') return { script: scripts.RELEASE, args: [] }
  const seen = [write.from, String(write.revision)]
  switch (write.kind) {
    case 'advance':
    case 'journal': {
      const point = write.kind === 'advance' ? write.to : write.from
      const args = [...seen, point, stagesText(write.stages), 'running', String(write.leaseMs)]
      return { script: scripts.WRITE, args }
    }
    case 'unknown':
      return {
        script: scripts.WRITE,
        args: [...seen, write.from, stagesText(write.stages), 'unknown', '0'],
      }
    case 'finish': {
      const { status, headers, body } = write.outcome
      const about = [String(status), JSON.stringify(headers), String(write.retentionMs)]
      const kept = body === undefined ? [] : [Buffer.from(body)]
      return { script: scripts.FINISH, args: [...seen, ...about, ...kept] }
    }
  }
}

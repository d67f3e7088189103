/** A Redis for peers that keep their records there, if it is installed. */
import { runRedis } from './servers.ts'

/**
 * How durable it is. `shipped`: as its makers ship it, without a log of changes, which is fastest. `durable`: each
 * change is on disk before it is answered, as PostgreSQL has it.
 */
export const REDIS_MODES = ['shipped', 'durable'] as const
export type RedisMode = (typeof REDIS_MODES)[number]

/** A Redis, or the reason why there is none. */
export interface Offered {
  /** @throws it is not installed; says how to */
  readonly url: () => string
  readonly settings: Readonly<Record<string, string>>
  remove(): Promise<void>
}

export async function offered(mode: RedisMode): Promise<Offered> {
  try {
    const running = await runRedis(mode)
    const url = await running.database()
    return { url: () => url, settings: running.settings, remove: () => running.remove() }
  } catch (error) {
    return {
      url: () => {
        throw error
      },
      settings: {},
      remove: () => Promise.resolve(),
    }
  }
}

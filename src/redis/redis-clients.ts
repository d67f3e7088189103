/** What Pawl asks of a client of Redis, whichever it is: a script at one key, and the answer of every primary. */
import type { Script } from './scripts.ts'

/** `redis` (node-redis): a client or a pool. */
export interface NodeRedisLike {
  sendCommand(args: readonly (string | Buffer)[], options?: object): Promise<unknown>
}

/** `redis` (node-redis): a cluster. */
export interface NodeRedisClusterLike {
  sendCommand(
    firstKey: string | undefined,
    isReadonly: boolean | undefined,
    args: (string | Buffer)[],
    options?: object,
  ): Promise<unknown>
  readonly masters: readonly object[]
  nodeClient(node: never): Promise<NodeRedisLike>
}

/** `ioredis`: a client. */
export interface IoredisLike {
  callBuffer(command: string, ...args: (string | Buffer | number)[]): Promise<unknown>
  readonly isCluster: boolean
}

/** `ioredis`: a cluster. */
export interface IoredisClusterLike extends IoredisLike {
  nodes(role: 'master'): readonly IoredisLike[]
}

/** Every client that can be handed in. */
export type RedisClientLike =
  NodeRedisLike | NodeRedisClusterLike | IoredisLike | IoredisClusterLike

/** A client, as Pawl speaks to it. Texts come back as bytes. */
export interface Redis {
  /** Runs a script at one key. */
  run(script: Script, key: string, args: readonly (string | Buffer)[]): Promise<unknown>
  /** What each primary answers to a command. */
  onPrimaries(command: readonly string[]): Promise<readonly unknown[]>
}

/** Type `$` of RESP, a text: as bytes. */
const AS_BYTES = { typeMapping: { 36: Buffer } }

/** @returns undefined: it is none of them */
export function redisOf(client: RedisClientLike): Redis | undefined {
  if ('callBuffer' in client) return ioredis(client)
  if ('masters' in client) return nodeRedisCluster(client)
  return typeof (client as Partial<NodeRedisLike>).sendCommand === 'function'
    ? nodeRedis(client)
    : undefined
}

function nodeRedis(client: NodeRedisLike): Redis {
  const send: Send = (args) => client.sendCommand(args, AS_BYTES)
  return {
    run: (script, key, args) => evaluated(send, script, key, args),
    onPrimaries: async (command) => [await send([...command])],
  }
}

function nodeRedisCluster(cluster: NodeRedisClusterLike): Redis {
  return {
    run: (script, key, args) =>
      evaluated((words) => cluster.sendCommand(key, false, words, AS_BYTES), script, key, args),
    onPrimaries: (command) =>
      Promise.all(
        cluster.masters.map(async (node) => {
          const client = await cluster.nodeClient(node as never)
          return await client.sendCommand(command, AS_BYTES)
        }),
      ),
  }
}

function ioredis(client: IoredisLike | IoredisClusterLike): Redis {
  const sendTo =
    (one: IoredisLike): Send =>
    ([name, ...args]) =>
      one.callBuffer(String(name), ...args)
  const primaries = 'nodes' in client ? () => client.nodes('master') : () => [client]
  return {
    run: (script, key, args) => evaluated(sendTo(client), script, key, args),
    onPrimaries: (command) => Promise.all(primaries().map((one) => sendTo(one)([...command]))),
  }
}

type Send = (args: (string | Buffer)[]) => Promise<unknown>

/** By its name; where the server does not know it (a restart, a failover, `SCRIPT FLUSH`), by its text. */
async function evaluated(
  send: Send,
  script: Script,
  key: string,
  args: readonly (string | Buffer)[],
): Promise<unknown> {
  try {
    return await send(['EVALSHA', script.sha, '1', key, ...args])
  } catch (error) {
    if (!/^NOSCRIPT/.test(error instanceof Error ? error.message : '')) throw error
    return await send(['EVAL', script.text, '1', key, ...args])
  }
}

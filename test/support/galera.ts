/**
 * A Galera cluster of three MariaDB nodes for tests, on loopback. Debian's mariadb-server depends on galera-4. The nodes
 * begin with copies of one folder, so none needs a transfer of state to join.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import mysql2 from 'mysql2/promise'
import { hasMariaDb, type MariaDb, startMariaDb } from './mariadb.ts'
import { freePort } from './postgres.ts'

const JOINED_MS = 60_000
const POLL_MS = 50
const PROVIDERS = ['/usr/lib/galera/libgalera_smm.so', '/usr/lib64/galera-4/libgalera_smm.so']

/** A running cluster. */
export interface Galera {
  /** Those that were not killed. */
  readonly nodes: () => readonly MariaDb[]
  /** SIGKILL; resolves when the others go on without it. */
  kill(node: MariaDb): Promise<void>
  remove(): Promise<void>
}

/** Whether it is installed. */
export function hasGalera(): boolean {
  return hasMariaDb() && PROVIDERS.some((path) => existsSync(path))
}

/** @throws it is not installed, or a node did not join; says what to do */
export async function startGalera(): Promise<Galera> {
  const provider = PROVIDERS.find((path) => existsSync(path))
  if (provider === undefined)
    throw new Error('Galera is missing: apt-get install --no-install-recommends galera-4')
  const ports = [await freePort(), await freePort(), await freePort()]
  const members = ports.map((port) => `127.0.0.1:${String(port)}`)
  const settingsOf = async (port: number): Promise<readonly string[]> => [
    '--wsrep-on=ON',
    `--wsrep-provider=${provider}`,
    '--wsrep-cluster-name=pawl',
    `--wsrep-cluster-address=gcomm://${members.join(',')}`,
    `--wsrep-node-address=127.0.0.1:${String(port)}`,
    `--wsrep-provider-options=${[
      `gmcast.listen_addr=tcp://127.0.0.1:${String(port)}`,
      `ist.recv_addr=127.0.0.1:${String(await freePort())}`,
      // A node that is gone is missed after three seconds, instead of five; a busy machine takes one for gone sooner.
      'evs.suspect_timeout=PT3S',
      'evs.inactive_timeout=PT8S',
    ].join(';')}`,
    '--wsrep-sst-method=rsync',
    `--wsrep-sst-receive-address=127.0.0.1:${String(await freePort())}`,
    '--binlog-format=ROW',
    '--default-storage-engine=InnoDB',
    '--innodb-autoinc-lock-mode=2',
  ]
  const [firstPort = 0, ...otherPorts] = ports
  const alone = [...(await settingsOf(firstPort)), '--wsrep-new-cluster']
  const template = await startMariaDb({ settings: alone })
  await template.stop() // In good order: its folder says which state of the cluster it has.
  const populate = (data: string): void => {
    const copied = spawnSync('cp', ['-a', template.data, data], { encoding: 'utf8' })
    if (copied.status !== 0) throw new Error(copied.stderr)
  }
  const first = await startMariaDb({ settings: alone, populate })
  let nodes = [first]
  try {
    for (const port of otherPorts) {
      nodes = [...nodes, await startMariaDb({ settings: await settingsOf(port), populate })]
      await joined(nodes)
    }
  } catch (error) {
    await Promise.all(nodes.map((node) => node.remove()))
    throw error
  } finally {
    await template.remove()
  }
  return {
    nodes: () => nodes,
    kill: async (node) => {
      await node.remove()
      nodes = nodes.filter((other) => other !== node)
      await joined(nodes)
    },
    remove: async () => {
      await Promise.all(nodes.map((node) => node.remove()))
    },
  }
}

/** Waits until each node is in step, in a cluster of as many. */
async function joined(nodes: readonly MariaDb[]): Promise<void> {
  const deadline = performance.now() + JOINED_MS
  for (const node of nodes) {
    for (;;) {
      const state = await stateOf(node)
      if (state === `Synced ${String(nodes.length)} Primary`) break
      if (performance.now() > deadline) throw new Error(`a node of Galera is not in step: ${state}`)
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }
}

async function stateOf({ url }: MariaDb): Promise<string> {
  const connection = await mysql2.createConnection(url)
  try {
    const [rows] = await connection.query(`
      show status where variable_name in
        ('wsrep_local_state_comment', 'wsrep_cluster_size', 'wsrep_cluster_status')`)
    return (rows as { Value: string }[]).map(({ Value }) => Value).join(' ')
  } finally {
    await connection.end()
  }
}

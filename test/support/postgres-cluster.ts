/**
 * A primary and two standbys, of which one must have a commit before it is acknowledged, and a failover: the most
 * advanced standby is promoted, the other follows it, the dead primary comes back as a copy of the new one. npm's
 * PostgreSQL has no pg_basebackup; the SQL that it consists of does as well.
 */
import { spawnSync } from 'node:child_process'
import { appendFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { type Postgres, startPostgres } from './postgres.ts'
import { belongs } from './server-process.ts'
import { startTcpProxy } from './tcp-proxy.ts'

const CATCH_UP_MS = 20_000
const POLL_MS = 20
/** How long a primary goes on unheard. What it would acknowledge in that time is in nobody's buffers. */
const UNHEARD_MS = 300

/** How a primary dies. */
export type Death =
  /** All its processes are killed. */
  | 'killed'
  /** It is stopped with its connections open, and killed once a standby is to be promoted: fenced. */
  | 'stopped'

/** A running cluster. */
export interface PostgresCluster {
  /** The present primary. */
  readonly primary: () => Postgres
  /** One that follows it. */
  readonly standby: () => Postgres
  /** The standbys stop hearing of the primary; then it dies. Nobody is promoted yet. */
  lose(how: Death): Promise<void>
  /** Fences what was lost, and promotes the standby that has received most; the other follows it. */
  promote(): Promise<Postgres>
  /** In place of the primary that died: a standby made from the present one. */
  replace(): Promise<void>
  /** The standbys that hold up a commit now, by name. */
  synchronous(): Promise<readonly string[]>
  remove(): Promise<void>
}

/** One standby of all that are there has a commit on its disk before the primary answers it. */
const SETTINGS: Readonly<Record<string, string>> = {
  synchronous_standby_names: 'ANY 1 (*)',
  synchronous_commit: 'on',
  wal_keep_size: '1GB',
  wal_retrieve_retry_interval: '100ms',
}

/** @throws PostgreSQL is missing, or the standbys did not catch up */
export async function startPostgresCluster(): Promise<PostgresCluster> {
  let primary = await startPostgres({ settings: SETTINGS })
  const replication = await startTcpProxy(primary.port)
  let standbys: readonly Postgres[] = []
  let named = 0
  const synchronous = async (): Promise<readonly string[]> => {
    const rows = await ask<{ name: string }>(
      primary,
      `select application_name as name from pg_stat_replication where sync_state = 'quorum'`,
    )
    return rows.map(({ name }) => name)
  }
  const agreed = (): Promise<void> =>
    until('the standbys to be synchronous', async () => {
      return (await synchronous()).length === standbys.length
    })
  const add = async (): Promise<void> => {
    standbys = [...standbys, await standbyOf(primary, replication.port, ++named)]
    await agreed()
  }
  await add()
  await add()
  return {
    primary: () => primary,
    standby: () => {
      const [standby] = standbys
      if (standby === undefined) throw new Error('there is no standby')
      return standby
    },
    synchronous,
    lose: async (how) => {
      replication.hold(true)
      await pause(UNHEARD_MS)
      if (how === 'stopped') primary.freeze()
      else await primary.crash()
    },
    promote: async () => {
      const dead = primary
      const [first, ...others] = await byReceived(standbys)
      if (first === undefined) throw new Error('there is no standby to promote')
      await dead.crash() // Whoever was only stopped is fenced: from here on it acknowledges nothing.
      await ask(first, 'select pg_promote()')
      replication.hold(false)
      replication.pointTo(first.port)
      primary = first
      standbys = others
      await dead.remove()
      await agreed()
      return primary
    },
    replace: add,
    remove: async () => {
      await Promise.all([primary, ...standbys].map((server) => server.remove()))
      await replication.close()
    },
  }
}

/** What one standby has and another lacks may have been acknowledged: the one with more goes first. */
async function byReceived(standbys: readonly Postgres[]): Promise<readonly Postgres[]> {
  const received = await Promise.all(
    standbys.map(async (standby) => {
      // After a reconnect, what is received is counted from the start of a segment.
      const [row] = await ask<{ bytes: string }>(
        standby,
        `select greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0' as bytes`,
      )
      return { standby, bytes: Number(row?.bytes) }
    }),
  )
  return received.toSorted((a, b) => b.bytes - a.bytes).map(({ standby }) => standby)
}

/** A copy of a running primary, that follows what is behind the port. */
async function standbyOf(primary: Postgres, port: number, nth: number): Promise<Postgres> {
  const name = `standby_${String(nth)}`
  const client = new pg.Client({ connectionString: primary.url })
  await client.connect()
  const populate = async (data: string): Promise<void> => {
    await client.query(`select pg_backup_start('${name}', true)`)
    // Files that are deleted meanwhile (status 1) are made again from the log.
    const copied = spawnSync('cp', ['-a', primary.data, data], { encoding: 'utf8' })
    if (copied.status === null || copied.status > 1) throw new Error(copied.stderr)
    const { rows } = await client.query<{ labelfile: string }>(
      'select labelfile from pg_backup_stop(false)',
    )
    rmSync(join(data, 'postmaster.pid'), { force: true })
    const added = { backup_label: rows[0]?.labelfile ?? '', 'standby.signal': '' }
    for (const [file, content] of Object.entries(added)) {
      writeFileSync(join(data, file), content)
      belongs(join(data, file))
    }
    const from = `host=127.0.0.1 port=${String(port)} user=postgres`
    const settings = { cluster_name: name, primary_conninfo: from }
    for (const [setting, value] of Object.entries(settings))
      appendFileSync(join(data, 'postgresql.auto.conf'), `${setting} = '${value}'\n`)
  }
  return await startPostgres({ settings: SETTINGS, populate }).finally(() => client.end())
}

async function ask<Row>({ url }: Postgres, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(text)).rows as Row[]
  } finally {
    await client.end()
  }
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + CATCH_UP_MS
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`)
    await pause(POLL_MS)
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

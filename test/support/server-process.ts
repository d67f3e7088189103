/** What all servers of the tests share: whom they run as, and how it is known that they are ready or have ended. */
import type { ChildProcess, SpawnOptions } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const NOBODY = 65_534

/** Database servers refuse to run as root; as root they run as `nobody`. */
export function identity(): Pick<SpawnOptions, 'uid' | 'gid'> {
  return process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}
}

/** A temporary folder that belongs to whom the server runs as. */
export function serverFolder(server: string): string {
  const folder = mkdtempSync(join(tmpdir(), `pawl-${server}-`))
  belongs(folder)
  return folder
}

/** Gives a file or folder to whom the server runs as. */
export function belongs(path: string): void {
  const { uid, gid } = identity()
  if (uid !== undefined && gid !== undefined) chownSync(path, uid, gid)
}

/** What a server says on standard error once it takes connections. */
export interface Ready {
  readonly server: string
  readonly says: string
  readonly withinMs: number
}

/** @throws it ended, or was not ready in time; with the end of its log */
export async function ready(
  process: ChildProcess,
  { server, says, withinMs }: Ready,
): Promise<void> {
  let log = ''
  await new Promise<void>((resolve, reject) => {
    const late = setTimeout(
      () => reject(new Error(`${server} was not ready in time:\n${log}`)),
      withinMs,
    )
    process.stderr?.on('data', (chunk: Buffer) => {
      log = (log + chunk.toString()).slice(-4_000)
      if (!log.includes(says)) return
      clearTimeout(late)
      resolve()
    })
    process.once('exit', (code) => {
      clearTimeout(late)
      reject(new Error(`${server} ended with ${String(code)}:\n${log}`))
    })
  })
}

/** Sends a signal that ends it, and waits until it has. */
export async function ended(process: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return
  const exited = once(process, 'exit')
  process.kill(signal)
  await exited
}

/** The process stands still: SIGSTOP has arrived. */
export function isStopped(pid: number): boolean {
  const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8')
  return stat.slice(stat.lastIndexOf(')') + 2).startsWith('T') // Its name may hold anything but this.
}

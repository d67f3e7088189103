/** A process that writes to a file of SQLite, as lane H sees it. */
import { createInterface } from 'node:readline'
import { bounded } from '../support/api-process.ts'
import { startBundled } from './bundled-process.ts'
import type { Reply } from './rides.ts'
import type { FromWriter, WriterCounts, WriterSettings } from './writer-main.ts'

const START_MAX_MS = 30_000

/** A running one. */
export interface WriterProcess {
  ask(key: string): Promise<Reply>
  readonly counts: () => WriterCounts
  kill(): void
}

/** Starts one. @throws it did not start in time */
export async function startWriter(settings: WriterSettings): Promise<WriterProcess> {
  const env = { FAULTS_WRITER: JSON.stringify(settings) }
  const child = await startBundled('writer-main.ts', env)
  const waiting = new Map<number, (reply: Reply) => void>()
  let counts: WriterCounts = { committed: 0, aborted: 0, busy: 0 }
  let asked = 0
  const ready = new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (text) => {
      const line = JSON.parse(text) as FromWriter
      if (line.type === 'ready') return resolve()
      const { nth, reply } = line
      counts = line.counts
      waiting.get(nth)?.(reply)
      waiting.delete(nth)
    })
    child.once('close', () => {
      for (const answer of waiting.values()) answer({ kind: 'lost' })
      reject(new Error('a writer ended'))
    })
  })
  await bounded('a writer to be ready', START_MAX_MS, ready)
  return {
    counts: () => counts,
    kill: () => void child.kill('SIGKILL'),
    ask: (key) =>
      new Promise((resolve) => {
        const nth = ++asked
        waiting.set(nth, resolve)
        child.stdin.write(`${JSON.stringify({ nth, key })}\n`)
      }),
  }
}

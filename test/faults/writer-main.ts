/**
 * A process that writes to a file of SQLite beside others: the rides API over a connection of its own. Asked and answered
 * in lines of JSON over its pipes; started by writer-process.ts.
 */
import { writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import BetterSqlite3 from 'better-sqlite3'
import { ADD, drawn } from './accounts.ts'
import { createRides, type Reply } from './rides.ts'
import { overSqlite } from './rides-sqlite.ts'

/** How it is started. */
export interface WriterSettings {
  readonly file: string
  readonly leaseMs: number
  /** How long SQLite itself waits for the file, before it says that it is busy. */
  readonly busyMs: number
}

/** Since a process started. `busy`: it asked for the file while another had it. */
export interface WriterCounts {
  readonly committed: number
  readonly aborted: number
  readonly busy: number
}

/** What it says; it is asked `{ nth, key }`. */
export type FromWriter =
  | { readonly type: 'ready' }
  | {
      readonly type: 'reply'
      readonly nth: number
      readonly reply: Reply
      readonly counts: WriterCounts
    }

const settings = JSON.parse(process.env['FAULTS_WRITER'] ?? '') as WriterSettings
const counts = { committed: 0, aborted: 0, busy: 0 }
const tell = (line: FromWriter): void => void writeSync(1, `${JSON.stringify(line)}\n`)

const db = new BetterSqlite3(settings.file, { timeout: settings.busyMs })
const exec = db.exec.bind(db)
db.exec = (text) => {
  try {
    return exec(text)
  } catch (error) {
    if ((error as { code?: unknown }).code === 'SQLITE_BUSY') counts.busy++
    throw error
  }
}
const rides = createRides({
  ...overSqlite(db),
  leaseMs: settings.leaseMs,
  calls: false,
  inside: async (_place, _key, tx) => {
    for (const id of drawn(Math.random)) tx?.prepare(`${ADD}?`).run(id)
  },
  onEvent: ({ type }) => {
    if (type === 'stage_committed' || type === 'finished') counts.committed++
    if (type === 'aborted') counts.aborted++
  },
})

createInterface({ input: process.stdin })
  .on('line', (text) => {
    const { nth, key } = JSON.parse(text) as { nth: number; key: string }
    void rides.ask(key).then((reply) => tell({ type: 'reply', nth, reply, counts }))
  })
  .once('close', () => process.exit(0)) // The lane is gone.

tell({ type: 'ready' })

/** The verdict: what the tables and the provider hold, against what they should. */
import type { Answer } from './client.ts'
import type { Counts } from './database.ts'
import type { Charged } from './stage.ts'
import type { Timeline } from './timeline.ts'

/** All that was seen. */
export interface Evidence {
  readonly kills: number
  readonly requests: number
  readonly replays: readonly Answer[]
  readonly counts: Counts
  readonly charged: Charged
}

/** Prints the verdict. @returns whether every count is one and every replay is the stored response */
export async function verdict(timeline: Timeline, seen: Evidence): Promise<boolean> {
  const { counts, charged, replays } = seen
  const keys = new Set(charged.calls).size
  const sums = [
    { name: 'rides', is: counts.rides, expected: 1 },
    { name: 'charges', is: charged.charges.length, expected: 1 },
    { name: 'receipts', is: counts.receipts, expected: 1 },
    { name: 'provider calls', is: charged.calls.length, expected: 2 },
    { name: 'downstream keys', is: keys, expected: 1 },
  ]
  const wrong = sums.filter(({ is, expected }) => is !== expected)
  const replayed = replays.every((replay) => isReplayOf(replay, counts))

  await timeline.section('Result', `${seen.requests} requests with one key, ${seen.kills} kills`)
  timeline.line()
  const painted = sums.slice(0, 4).map(({ name, is, expected }) => {
    const note = name === 'provider calls' ? ` (${keys === 1 ? 'same key' : `${keys} keys`})` : ''
    return timeline.paint(`${name} ${is}${note}`, 'bold', is === expected ? 'green' : 'red')
  })
  timeline.line(`  ${painted.join(' · ')}`)
  timeline.line()
  const mistakes = wrong.map(({ name, is, expected }) => `${name} ${is}, expected ${expected}`)
  check(
    timeline,
    wrong.length === 0,
    'every count is one, whatever was killed',
    mistakes.join('; '),
  )
  check(
    timeline,
    replayed,
    `both replays are the stored 201, byte for byte (${counts.answer?.length ?? 0} bytes)`,
    'a replay is not the stored response',
  )
  return wrong.length === 0 && replayed
}

function isReplayOf({ status, headers, body }: Answer, { ride, answer }: Counts): boolean {
  return (
    status === 201 &&
    headers['idempotent-replayed'] === 'true' &&
    headers['location'] === `/rides/${ride ?? ''}` &&
    answer !== undefined &&
    body.equals(answer)
  )
}

function check(timeline: Timeline, ok: boolean, good: string, bad: string): void {
  timeline.line(`  ${timeline.paint(ok ? '✓' : '✗', ok ? 'green' : 'red')} ${ok ? good : bad}`)
}

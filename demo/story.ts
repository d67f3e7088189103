/** What the timeline says of each thing the servers tell; the words of the demo are here. */
import type { PawlEvent } from 'pawl'
import type { Line } from './child.ts'
import type { Timeline } from './timeline.ts'

/** Where each attempt dies, in the order of `crashes` in rides-api.ts. */
export const DEATHS: readonly { readonly title: string; readonly note: string }[] = [
  { title: 'Attempt 1', note: 'the API is killed after the ride is committed' },
  { title: 'Attempt 2', note: 'killed after the card is charged, before that is recorded' },
  { title: 'Attempt 3', note: 'killed after everything is committed, before the response is sent' },
]

/** Tells one line of a server. */
export function tellLine(timeline: Timeline, line: Line): void {
  switch (line.type) {
    case 'event': {
      const text = eventText(timeline, line.event)
      if (text !== undefined) timeline.say('api', text, line.at)
      return
    }
    case 'charge': {
      const key = `key ${line.key.slice(0, 9)}…`
      const text = line.known
        ? timeline.paint(`${key} again: answers ${line.charge}, charges nothing`, 'green')
        : `${key}: charges the card, ${line.charge}`
      timeline.say('provider', text, line.at)
      return
    }
    case 'dying':
      timeline.say('api', timeline.paint('✗ KILLED (SIGKILL)', 'red', 'bold'), line.at)
      return
    case 'listening':
      return
  }
}

function eventText(timeline: Timeline, event: PawlEvent): string | undefined {
  switch (event.type) {
    case 'claimed':
      return event.attempt === 1 ? 'claims the key: attempt 1' : undefined
    case 'taken_over':
      return `takes over as attempt ${event.attempt}, from recovery point ${event.recoveryPoint}`
    case 'step_resumed':
      return timeline.paint(`${event.step}: done before, not run again`, 'green')
    case 'stage_committed':
      return `${event.step}: row and recovery point committed together`
    case 'call_sent':
      return `${event.step}: calls the payment provider with a downstream key`
    case 'call_recorded':
      return `${event.step}: the provider's answer is recorded`
    case 'finished':
      return `finished: receipt and response ${event.status} committed together`
    case 'replayed':
      return timeline.paint(
        `↺ replay: the stored ${event.status}; the handler does not run`,
        'green',
        'bold',
      )
    case 'refused':
      return event.code === 'in_progress' ? undefined : `refuses: ${event.code}`
    case 'released':
      return timeline.paint(`gives the key back after an error: ${String(event.error)}`, 'yellow')
    case 'lease_lost':
    case 'heartbeat_failed':
    case 'release_failed':
    case 'aborted':
    case 'commit_unknown':
    case 'commit_resolved':
    case 'outcome_unknown':
    case 'unprotected':
    case 'resolved':
    case 'resolver_failed':
    case 'completer_failed':
    case 'failed':
    case 'retried':
    case 'forgotten':
    case 'purged':
    case 'reaped':
    case 'worker_failed':
      return timeline.paint(event.type, 'yellow')
  }
}

/** The lines to try by hand. */
export function byHand(timeline: Timeline, url: string): readonly string[] {
  const key = `by-hand-${process.pid}`
  const curl = (headers: readonly string[], fare: number, flags = '-i'): string =>
    [
      `curl -s ${flags} ${url}/rides -H 'Content-Type: application/json'`,
      ...headers.map((header) => `-H '${header}'`),
      `-d '{"to":"Rome","fare":${fare}}'`,
    ].join(' ')
  const head = (text: string): string => timeline.paint(`# ${text}`, 'dim')
  return [
    head('a ride: 201'),
    curl([`Idempotency-Key: ${key}`], 3_100),
    head('the same line again: the same 201, with Idempotent-Replayed: true'),
    curl([`Idempotency-Key: ${key}`], 3_100),
    head('the same key for another fare: 422 payload_mismatch'),
    curl([`Idempotency-Key: ${key}`], 9_900),
    head('no key: 400 key_missing'),
    curl([], 3_100),
    head('crash it on purpose: the API is killed in three attempts, curl retries, one ride'),
    curl(
      [`Idempotency-Key: ${key}-crash`, 'Demo-Crash: on'],
      4_200,
      '-f --retry 20 --retry-delay 1 --retry-all-errors',
    ),
    head('what is booked'),
    `curl -s ${url}/rides`,
  ]
}

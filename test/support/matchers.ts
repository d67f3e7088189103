/** What a replay and a problem are, said once: `toReplay(first)` and `toMatchProblem({ status, code })`. */
import { expect } from 'vitest'
import { CODES, type Code, STORED_HEADERS } from '../../src/index.ts'
import type { Reply } from './http-client.ts'

/** What a problem must say. */
export interface ExpectedProblem {
  readonly status: number
  readonly code: Code
}

interface PawlMatchers<R = unknown> {
  /** The same status, the same bytes, the same stored headers, no cookie, and marked as a replay. */
  toReplay(first: Reply): R
  /** RFC 9457, with all members that conformance.md lists, and no others. */
  toMatchProblem(expected: ExpectedProblem): R
}

declare module 'vitest' {
  // eslint-disable-next-line @typescript-eslint/no-empty-object-type, @typescript-eslint/no-explicit-any -- vitest's own
  interface Matchers<T = any> extends PawlMatchers<T> {}
}

/** A replay may say these of itself, and not of what it replays. */
const OF_THE_REPLAY = new Set(['cache-control'])
/** Nothing is known to refer to: the key was not even read. */
const WITHOUT_REFERENCE = new Set<Code>(['key_missing', 'key_invalid'])
const TEXTS = ['type', 'title', 'detail'] as const
const MEMBERS = new Set([...TEXTS, 'status', 'code', 'retryable', 'safe_new_key', 'operation_ref'])

expect.extend({
  toReplay(received: Reply, first: Reply) {
    return verdict('replay', received, replayFaults(received, first))
  },
  toMatchProblem(received: Reply, expected: ExpectedProblem) {
    return verdict(`problem ${expected.code}`, received, problemFaults(received, expected))
  },
})

function replayFaults(received: Reply, first: Reply): string[] {
  const faults: string[] = []
  if (received.status !== first.status)
    faults.push(`status ${received.status}, not ${first.status}`)
  if (!received.body.equals(first.body))
    faults.push(`body ${shown(received.body)}, not ${shown(first.body)}`)
  if (received.headers['idempotent-replayed'] !== 'true')
    faults.push('it is not marked as a replay')
  if (received.headers['set-cookie'] !== undefined) faults.push('it sets a cookie')
  for (const name of STORED_HEADERS) {
    if (OF_THE_REPLAY.has(name) && first.headers[name] === undefined) continue
    const [is, was] = [received.headers[name], first.headers[name]]
    if (JSON.stringify(is) !== JSON.stringify(was))
      faults.push(`${name} ${String(is)}, not ${String(was)}`)
  }
  return faults
}

function problemFaults(received: Reply, { status, code }: ExpectedProblem): string[] {
  const faults: string[] = []
  if (received.status !== status) faults.push(`status ${received.status}, not ${status}`)
  if (received.headers['content-type'] !== 'application/problem+json')
    faults.push(`content-type ${String(received.headers['content-type'])}`)
  if (received.headers['cache-control'] !== 'no-store') faults.push('it may be cached')
  if (received.headers['idempotent-replayed'] !== undefined) faults.push('it is marked as a replay')
  let problem: Record<string, unknown>
  try {
    problem = received.json() as Record<string, unknown>
  } catch {
    return [...faults, `body ${shown(received.body)} is no JSON`]
  }
  for (const name of TEXTS)
    if (typeof problem[name] !== 'string' || problem[name] === '') faults.push(`no ${name}`)
  if (typeof problem['type'] === 'string' && !URL.canParse(problem['type']))
    faults.push(`type ${problem['type']} is no URI`)
  const facts = CODES[code]
  const wanted = { status, code, retryable: facts.retryable, safe_new_key: facts.safeNewKey }
  for (const [name, value] of Object.entries(wanted))
    if (problem[name] !== value) faults.push(`${name} ${String(problem[name])}, not ${value}`)
  const reference = problem['operation_ref']
  if (WITHOUT_REFERENCE.has(code) ? reference !== undefined : !isReference(reference))
    faults.push(`operation_ref ${String(reference)}`)
  for (const name of Object.keys(problem)) if (!MEMBERS.has(name)) faults.push(`a member ${name}`)
  return faults
}

function isReference(value: unknown): boolean {
  return typeof value === 'string' && /^ikey_[0-9a-f]{32}$/.test(value)
}

function verdict(what: string, received: Reply, faults: readonly string[]) {
  return {
    pass: faults.length === 0,
    message: () =>
      faults.length === 0
        ? `expected no ${what}, and it is one: ${received.status} ${shown(received.body)}`
        : `expected a ${what}, but: ${faults.join('; ')}\ngot ${received.status} ${shown(received.body)}`,
  }
}

function shown(body: Buffer): string {
  const text = body.toString('latin1')
  return JSON.stringify(text.length > 300 ? `${text.slice(0, 300)}…` : text)
}

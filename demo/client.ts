/**
 * The client: it chooses one key for one ride, and sends the same request until it knows the answer. A lost connection
 * tells it nothing; a problem tells it whether and when to come back.
 */
import { request } from 'node:http'
import type { Timeline } from './timeline.ts'

const NOBODY_LISTENS_WAIT_MS = 150
const ANSWER_MAX_MS = 15_000
const GIVE_UP_MS = 60_000

export interface Answer {
  readonly kind: 'answer'
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

/** It was sent, and the connection broke before an answer. */
export interface Lost {
  readonly kind: 'lost'
  readonly code: string
}

type Sent = Answer | Lost | { readonly kind: 'nobody_listens'; readonly code: string }

export interface Client {
  /** How many requests reached the API. */
  readonly requests: number
  /** Sends the request, again when the API says so or is not there, until it is answered or the connection is lost. */
  send(what: string): Promise<Answer | Lost>
}

export function createClient(
  timeline: Timeline,
  target: { readonly url: string; readonly key: string; readonly body: string },
): Client {
  let requests = 0
  return {
    get requests() {
      return requests
    },
    send: async (what) => {
      const giveUpAt = performance.now() + GIVE_UP_MS
      let alone = false
      while (performance.now() < giveUpAt) {
        const sent = await post(target, () => {
          requests++
          timeline.say('client', what)
        })
        if (sent.kind === 'lost') return sent
        if (sent.kind === 'nobody_listens') {
          if (!alone)
            timeline.say(
              'client',
              timeline.paint(`nobody listens (${sent.code}), keeps trying`, 'dim'),
            )
          alone = true
          await sleep(NOBODY_LISTENS_WAIT_MS)
          continue
        }
        const waitMs = retryAfterMs(sent)
        if (waitMs === undefined) return sent
        const { code } = JSON.parse(sent.body.toString()) as { code: string }
        const text = `${sent.status} ${code}: the dead attempt's lease still runs; Retry-After: ${waitMs / 1_000}`
        timeline.say('client', timeline.paint(text, 'yellow'))
        await sleep(waitMs)
      }
      throw new Error(`the client got no final answer within ${GIVE_UP_MS / 1_000} s`)
    },
  }
}

/** How long to wait before the same request again; undefined when the answer is final. */
function retryAfterMs({ headers, body }: Answer): number | undefined {
  if (!String(headers['content-type']).startsWith('application/problem+json')) return undefined
  const { retryable } = JSON.parse(body.toString()) as { retryable?: boolean }
  return retryable === true ? Number(headers['retry-after'] ?? 1) * 1_000 : undefined
}

function post(
  { url, key, body }: { readonly url: string; readonly key: string; readonly body: string },
  onConnected: () => void,
): Promise<Sent> {
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      'idempotency-key': key,
      'demo-crash': 'on',
    }
    const sending = request(url, { method: 'POST', agent: false, headers, timeout: ANSWER_MAX_MS })
    let connected = false
    sending.once('socket', (socket) =>
      socket.once('connect', () => {
        connected = true
        onConnected()
      }),
    )
    sending.once('timeout', () =>
      sending.destroy(new Error(`no answer within ${ANSWER_MAX_MS / 1_000} s`)),
    )
    sending.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === undefined) reject(error)
      else resolve({ kind: connected ? 'lost' : 'nobody_listens', code: error.code })
    })
    sending.once('response', (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.once('error', (error: NodeJS.ErrnoException) =>
        resolve({ kind: 'lost', code: error.code ?? error.message }),
      )
      response.once('end', () =>
        resolve({
          kind: 'answer',
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks),
        }),
      )
    })
    sending.end(body)
  })
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

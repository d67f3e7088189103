/**
 * Holds a node response back until its outcome is durable. What the handler does to `res` is recorded; afterwards the
 * same calls are made on the real response, so that the first caller gets what the handler wrote, byte for byte.
 * A response that is too long to store, or a stream, is passed through as soon as its outcome is durable.
 * Conformance 11, 16, 18, 40.
 */
import type { ServerResponse } from 'node:http'
import type { CapturedDraft } from '../core/execute.ts'
import type { Header, WholeResponse } from '../core/outcome.ts'
import {
  chunkOf,
  type HeadFields,
  isChunk,
  later,
  merged,
  type Native,
  nativeOf,
  pairs,
  remember,
} from './capture-node.ts'
import { send } from './node-response.ts'

/** After a hang-up, how long a response that has begun may stand still before it counts as cut off. */
const STALL_MS = 5_000
const EVENT_STREAM = /^\s*text\/event-stream\b/i
/** Stands for the rendered head, so that node itself answers `headersSent` and refuses later headers. */
const HEAD_RECORDED = 'recorded'

/** Fields of node's response that say how far it is; set while it is held back, so that handlers see what they did. */
interface Insides {
  _header: string | null
  _closed: boolean
  destroyed: boolean
  finished: boolean
}

type Recorded =
  | { readonly kind: 'head'; readonly fields: HeadFields | undefined }
  | { readonly kind: 'flush' }
  | { readonly kind: 'write' | 'end'; readonly args: readonly unknown[] }

/**
 * A response that is being held back. The methods put on `res` stay there and change with `#mode`: a middleware
 * behind us may have wrapped them, and taking them off would take its wrappers off too.
 */
export class ResponseCapture {
  /**
   * What is to be stored: settles when the handler has ended the response, or when it is known that its body is not
   * to be kept. Rejects when the handler destroys the response.
   */
  readonly draft: Promise<CapturedDraft>
  readonly #res: ServerResponse & Insides
  readonly #native: Native
  readonly #responseMax: number
  readonly #stallMs: number
  readonly #untouched: () => void
  readonly #recorded: Recorded[] = []
  #mode: 'held' | 'live' | 'deaf' = 'held'
  #fields: HeadFields | undefined
  #hasHead = false
  #isImplicit = false
  #size = 0
  #isLong = false
  #isBlocked = false
  #isGone = false
  #stalled: NodeJS.Timeout | undefined
  #resolve!: (draft: CapturedDraft) => void
  #reject!: (error: unknown) => void

  /**
   * @param responseMax - bytes that may be stored
   * @param stallMs - milliseconds; 5,000 by default
   */
  constructor(res: ServerResponse, responseMax: number, stallMs: number = STALL_MS) {
    this.#res = res as ServerResponse & Insides
    this.#responseMax = responseMax
    this.#stallMs = stallMs
    this.#untouched = remember(res)
    this.draft = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.draft.catch(() => undefined)
    this.#native = nativeOf(res)
    this.#install()
  }

  /** The outcome is durable: what was recorded goes out, and what follows passes through. */
  release(): void {
    if (this.#mode !== 'held') return
    this.#reveal('live')
    let isFlowing = true
    for (const one of this.#recorded.splice(0)) isFlowing = this.#play(one)
    if (this.#isGone) this.#native.emit('close')
    else if (this.#isBlocked && isFlowing) this.#res.emit('drain')
  }

  /** `run.finish` has the last word: what the handler does to the response from now on is not heard. */
  supersede(): void {
    if (this.#mode !== 'held') return
    if (this.#hasHead) this.#untouched()
    this.#recorded.length = 0
    this.#reveal('deaf')
  }

  /** Sends this instead of what was recorded. */
  replaceWith(response: WholeResponse): void {
    if (this.#mode === 'held') this.#untouched()
    this.#recorded.length = 0
    this.#reveal('live')
    const { setHeader, end } = this.#native
    const res = this.#res
    send(
      {
        set statusCode(status: number) {
          res.statusCode = status
          res.statusMessage = ''
        },
        getHeader: (name) => res.getHeader(name),
        setHeader,
        end,
      },
      response,
    )
    this.#mode = 'deaf'
    if (this.#isGone) this.#native.emit('close')
  }

  /** Gives the response back as it was, for the application's own error handling. */
  discard(): void {
    if (this.#mode !== 'held') return
    const wasEnded = this.#res.finished
    this.#untouched()
    this.#recorded.length = 0
    this.#reveal('live')
    // What still pipes into it must stop before somebody else writes.
    if (this.#isGone || (this.#hasHead && !wasEnded)) this.#native.emit('close')
  }

  #reveal(mode: 'live' | 'deaf'): void {
    clearTimeout(this.#stalled)
    if (this.#mode === 'held') {
      if (this.#hasHead) this.#res._header = null
      this.#res.finished = false
      if (this.#isGone) this.#res.destroyed = this.#res._closed = true
    }
    this.#mode = mode
  }

  #install(): void {
    const res = this.#res
    const put = (name: string, value: unknown): void => {
      Object.defineProperty(res, name, { value, configurable: true, writable: true })
    }
    put('writeHead', (...args: unknown[]) => this.#writeHead(args))
    put('flushHeaders', () => this.#flush())
    put('write', (...args: unknown[]) => this.#write(args))
    put('end', (...args: unknown[]) => this.#end(args))
    put('destroy', (error?: Error) => this.#destroy(error))
    put('emit', (name: string, ...args: unknown[]) => this.#emit(name, args))
    for (const name of ['setHeader', 'appendHeader', 'removeHeader', 'setHeaders'] as const) {
      put(name, (...args: unknown[]) => (this.#mode === 'deaf' ? res : this.#native[name](...args)))
    }
  }

  #writeHead(args: readonly unknown[]): unknown {
    const res = this.#res
    if (this.#mode === 'deaf') return res
    const [status, message, fields] = args as [number, unknown, HeadFields | undefined]
    // Node refuses a second head and an impossible status, and says so to the handler.
    if (this.#mode === 'live' || this.#hasHead || !(status >= 100 && status <= 999))
      return this.#native.writeHead(...args)
    res.statusCode = status | 0
    if (typeof message === 'string') res.statusMessage = message
    const given = (typeof message === 'string' ? fields : (fields ?? message)) as
      HeadFields | undefined
    this.#fields = merged(res, given)
    this.#hasHead = true
    res._header = HEAD_RECORDED
    if (!this.#isImplicit) this.#recorded.push({ kind: 'head', fields: this.#fields })
    this.#progress()
    if (
      this.#headers().some(([name, value]) => name === 'content-type' && EVENT_STREAM.test(value))
    )
      this.#settleWithoutBody()
    return res
  }

  /** As node does: the first byte makes the head, through whatever wraps `writeHead`. */
  #head(): void {
    if (this.#hasHead) return
    this.#isImplicit = true
    try {
      this.#res.writeHead(this.#res.statusCode)
    } finally {
      this.#isImplicit = false
    }
  }

  #flush(): void {
    if (this.#mode === 'live') this.#native.flushHeaders()
    if (this.#mode !== 'held') return
    this.#head()
    this.#recorded.push({ kind: 'flush' })
  }

  #write(args: readonly unknown[]): unknown {
    const given = chunkOf(args)
    if (this.#mode === 'deaf') return later(given.done, true)
    // Too late or not a chunk: node's own error.
    if (this.#mode === 'live' || this.#res.finished || !isChunk(given.chunk))
      return this.#native.write(...args)
    this.#head()
    const { encoding, done } = given
    const chunk = this.#keep(given.chunk, encoding)
    this.#progress()
    if (!this.#isLong) {
      this.#recorded.push({ kind: 'write', args: [chunk, encoding] })
      return later(done, true)
    }
    this.#isBlocked = true
    this.#recorded.push({ kind: 'write', args: [chunk, encoding, done] })
    return false
  }

  #end(args: readonly unknown[]): unknown {
    const res = this.#res
    const given = chunkOf(args)
    if (this.#mode === 'deaf') {
      later(given.done, true)
      return res
    }
    if (this.#mode === 'live' || res.finished) return this.#native.end(...args)
    const { chunk, encoding, done } = given
    if (chunk !== undefined && !isChunk(chunk)) return this.#native.write(chunk)
    this.#head()
    const kept = chunk === undefined ? undefined : this.#keep(chunk, encoding)
    this.#recorded.push({ kind: 'end', args: [kept, encoding, done] })
    res.finished = true
    clearTimeout(this.#stalled)
    if (!this.#isLong) this.#resolve({ ...this.#facts(), body: this.#body(), keepBody: true })
    return res
  }

  /** A copy, because the handler may use its buffer again once we have taken it. */
  #keep(chunk: string | Uint8Array, encoding: BufferEncoding | undefined): string | Uint8Array {
    const kept = typeof chunk === 'string' ? chunk : Buffer.from(chunk)
    this.#size += Buffer.byteLength(kept, encoding)
    if (this.#size > this.#responseMax) this.#settleWithoutBody()
    return kept
  }

  #settleWithoutBody(): void {
    this.#isLong = true
    this.#resolve({ ...this.#facts(), keepBody: false })
  }

  #destroy(error: Error | undefined): unknown {
    if (this.#mode === 'held' && !this.#res.finished)
      this.#reject(error ?? new Error('the handler destroyed its response'))
    return this.#mode === 'deaf' ? this.#res : this.#native.destroy(error)
  }

  #emit(name: string, args: readonly unknown[]): unknown {
    if (this.#mode !== 'held' || name !== 'close') return this.#native.emit(name, ...args)
    // The client has gone; the handler goes on, because pipes and pipelines stop at 'close' (conformance 40).
    this.#isGone = true
    this.#res.destroyed = this.#res._closed = false
    this.#progress()
    return true
  }

  /** Watches a response that was cut off while it was on its way: it may never end by itself. */
  #progress(): void {
    if (!this.#isGone || !this.#hasHead || this.#res.finished) return
    clearTimeout(this.#stalled)
    this.#stalled = setTimeout(() => this.#settleWithoutBody(), this.#stallMs)
    this.#stalled.unref()
  }

  #play(one: Recorded): boolean {
    const { statusCode, statusMessage } = this.#res
    switch (one.kind) {
      case 'head':
        this.#native.writeHead(statusCode, statusMessage || undefined, one.fields)
        return true
      case 'flush':
        this.#native.flushHeaders()
        return true
      case 'write':
        return this.#native.write(...one.args) as boolean
      case 'end':
        this.#native.end(...one.args)
        return true
    }
  }

  #facts(): { readonly status: number; readonly headers: readonly Header[] } {
    return { status: this.#res.statusCode, headers: this.#headers() }
  }

  #headers(): readonly Header[] {
    return pairs(this.#fields ?? this.#res.getHeaders())
  }

  #body(): Uint8Array {
    const { statusCode } = this.#res
    // Node does not send what is written to these.
    if (statusCode === 204 || statusCode === 304) return new Uint8Array()
    return Buffer.concat(
      this.#recorded.map((one) => {
        const [chunk, encoding] = 'args' in one ? (one.args as [unknown, BufferEncoding?]) : []
        if (typeof chunk === 'string') return Buffer.from(chunk, encoding)
        return chunk instanceof Uint8Array ? chunk : Buffer.alloc(0)
      }),
    )
  }
}

/**
 * Outcomes that were replayed of late, kept in this process, so that a key which is asked for again and again does not
 * reach the store each time. A finished outcome does not change; what can happen to it elsewhere is that it expires, is
 * forgotten or erased, and that is learned of when the entry's time is over. Off unless asked for. ADR 0029.
 */
import { type Duration, milliseconds } from './duration.ts'
import { ConfigError } from './errors.ts'
import type { Identity } from './identity.ts'
import type { Outcome } from './outcome.ts'
import { ERASED, type FoundRecord } from './record.ts'

const TTL = { min: 100, max: 60_000 }
const BYTES_MAX = 1_073_741_824
/** What an entry weighs beside its texts and its body, as near as matters. */
const ENTRY_BYTES = 1_024
/** No outcome takes more of it than this share, or one large response would drive out all the others. */
const SHARE_OF_ONE = 1 / 8
/** One that is kept for a shorter time might be over before its entry is. */
const RETENTION_MIN_MS = 60_000
/** A longer input is told by its digest alone. */
const ASKED_LENGTH_MAX = 4_096

/** How outcomes are kept in the process. */
export interface OutcomeCacheOptions {
  /** What all of them may weigh. 16 MiB by default, up to 1 GiB. The least recently used go first. */
  readonly bytesMax?: number
  /**
   * How long one is replayed without a look at the store: so long may it outlive its expiry, or a `forget` and a
   * `purgeScope` in another process. `'2s'` by default, 100 ms to 1 min.
   */
  readonly ttl?: Duration
}

/** Of a finished record, what a replay or a mismatch is told by. */
export interface Known {
  readonly id: string
  readonly fingerprint: string
  readonly outcome: Outcome
}

interface Entry {
  readonly name: string
  readonly scope: string
  /** Nobody else's: bytes in memory of their own, headers that cannot be changed. */
  readonly known: Known
  readonly bytes: number
  readonly until: number
  /** Since it was last passed over by the search for room. */
  isUsed: boolean
  /** The input that was asked with, as canonical JSON: the same one needs no digest. */
  readonly asked: string | undefined
}

/** What an outcome is remembered with. */
export interface Remembered {
  readonly identity: Identity
  readonly record: FoundRecord
  readonly retentionMs: number
  readonly asked: string | undefined
}

/** Final outcomes by id and by name. */
export class OutcomeCache {
  readonly #bytesMax: number
  readonly #ttlMs: number
  readonly #now: () => number
  /** In the order in which they came, or were found in use: those that go first, first. */
  readonly #byId = new Map<string, Entry>()
  readonly #byName = new Map<string, Entry>()
  #bytes = 0
  #drops = 0

  /** @throws {@link ConfigError} an option cannot be used */
  constructor({ bytesMax = 16_777_216, ttl = '2s' }: OutcomeCacheOptions, now: () => number) {
    if (!Number.isInteger(bytesMax) || bytesMax < ENTRY_BYTES || bytesMax > BYTES_MAX) {
      throw new ConfigError(
        `cache.bytesMax: expected ${ENTRY_BYTES} to ${BYTES_MAX} bytes, got ${String(bytesMax)}.`,
      )
    }
    this.#bytesMax = bytesMax
    this.#ttlMs = milliseconds('cache.ttl', ttl, TTL)
    this.#now = now
  }

  /** Grows when something is dropped: what was read before that is not remembered any more. */
  get drops(): number {
    return this.#drops
  }

  /** What is remembered of an id. The bytes are the caller's own. */
  get(id: string): Known | undefined {
    const entry = this.#alive(this.#byId.get(id))
    return entry && lentOf(entry.known)
  }

  /** What was asked for with this very input. Undefined: that is to be found out. */
  replay(identity: Identity, asked: string): Known | undefined {
    const entry = this.#alive(this.#byName.get(nameOf(identity)))
    return entry?.asked === asked ? lentOf(entry.known) : undefined
  }

  /** @param drops - as they were when the store was asked */
  remember({ identity, record, retentionMs, asked }: Remembered, drops: number): void {
    const { id, fingerprint, outcome } = record
    if (outcome === undefined || fingerprint === ERASED) return
    if (drops !== this.#drops || retentionMs < RETENTION_MIN_MS) return
    const kept = asked !== undefined && asked.length <= ASKED_LENGTH_MAX ? asked : undefined
    const name = nameOf(identity)
    const bytes = bytesOf(outcome) + ENTRY_BYTES + 2 * (name.length + (kept?.length ?? 0))
    if (bytes > this.#bytesMax * SHARE_OF_ONE) return
    this.#remove(this.#byId.get(id))
    const entry = {
      ...{ name, scope: identity.scope, bytes, isUsed: false, asked: kept },
      known: { id, fingerprint, outcome: ownOf(outcome) },
      until: this.#now() + this.#ttlMs,
    }
    this.#byId.set(id, entry)
    this.#byName.set(name, entry)
    this.#bytes += bytes
    this.#makeRoom()
  }

  /** Of these nothing is remembered, nor of what is being read. */
  drop(ids: readonly string[]): void {
    this.#drops++
    for (const id of ids) this.#remove(this.#byId.get(id))
  }

  /** Nor of anything in this scope. */
  dropScope(scope: string): void {
    this.#drops++
    for (const entry of this.#byId.values()) if (entry.scope === scope) this.#remove(entry)
  }

  #alive(entry: Entry | undefined): Entry | undefined {
    if (entry === undefined) return undefined
    if (entry.until <= this.#now()) {
      this.#remove(entry)
      return undefined
    }
    entry.isUsed = true
    return entry
  }

  /** A mark is cheaper than a move at each use, and nearly as good: what was used since the last search stays. */
  #makeRoom(): void {
    for (const [id, oldest] of this.#byId) {
      if (this.#bytes <= this.#bytesMax) return
      if (oldest.isUsed) {
        oldest.isUsed = false
        this.#byId.delete(id)
        this.#byId.set(id, oldest)
      } else this.#remove(oldest)
    }
  }

  #remove(entry: Entry | undefined): void {
    if (entry === undefined) return
    this.#byId.delete(entry.known.id)
    this.#byName.delete(entry.name)
    this.#bytes -= entry.bytes
  }
}

/** One text for three: neither an operation nor a key holds a line feed, and the scope is what is between them. */
function nameOf({ operation, scope, key }: Identity): string {
  return `${operation}\n${key}\n${scope}`
}

function bytesOf({ headers, body }: Outcome): number {
  const texts = headers.reduce((sum, [name, value]) => sum + name.length + value.length, 0)
  return 2 * texts + (body?.length ?? 0)
}

/** In memory of its own: a slice of what a driver has read would keep all of that. */
function ownOf({ status, headers, body }: Outcome): Outcome {
  const own = Object.freeze(headers.map((header) => Object.freeze([...header] as const)))
  return { status, headers: own, body: body && new Uint8Array(body) }
}

/** Whoever is given bytes may write to them. */
function lentOf({ id, fingerprint, outcome: { status, headers, body } }: Known): Known {
  return { id, fingerprint, outcome: { status, headers, body: body && Buffer.from(body) } }
}

/**
 * The state of one attempt in this process: what it holds, how far it is, and whether it may still go on.
 * Every step passes `enter`, which keeps steps apart and in the recorded order.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Engine } from './engine.ts'
import {
  LeaseLostError,
  type PawlError,
  RecoveryPointUnknownError,
  RunMissingError,
  StepMisusedError,
} from './errors.ts'
import type { PawlEvent } from './events.ts'
import type { Leased } from './heartbeat.ts'
import { isStepName } from './identity.ts'
import { invariant } from './invariant.ts'
import type { WholeResponse } from './outcome.ts'
import type { Policy } from './policy.ts'
import { type Stages, type Step } from './record.ts'
import type { Run } from './run.ts'
import type { Hold, Write } from './store.ts'

/** What an attempt starts from. */
export interface ActiveRunStart {
  readonly hold: Hold
  readonly key: string
  readonly scope: string
  readonly operation: string
  readonly execution: string
  readonly recoveryPoint: string
  readonly revision: number
  readonly stages: Stages
  readonly resumed: boolean
  readonly version: string | undefined
  readonly policy: Policy
  /** Told when `run.finish` is durable, before the handler goes on. */
  readonly finished: (() => void) | undefined
}

/** A step that may begin, or the one an earlier attempt recorded under this name. */
export type Entry = { readonly kind: 'begin' } | { readonly kind: 'recorded'; readonly step: Step }

/** The mutable state behind one `Run`. */
export class ActiveRun<Tx, Isolation extends string> implements Leased {
  readonly engine: Engine<Tx, Isolation>
  readonly start: ActiveRunStart
  recoveryPoint: string
  /** Of the record, as of our last change: no later one may have come between. */
  revision: number
  stages: Stages
  /** Set by finish, when the outcome is durable. */
  response: WholeResponse | undefined
  #recorded: readonly (readonly [string, Step])[]
  /** The step that is under way. */
  #open: string | undefined
  #whenEnded: (() => void) | undefined
  #stopped: PawlError | undefined
  #aborter: AbortController | undefined
  #used: Set<string> | undefined

  constructor(engine: Engine<Tx, Isolation>, start: ActiveRunStart) {
    invariant(start.hold.attempt >= 1, 'an attempt is counted from one', { id: start.hold.id })
    this.engine = engine
    this.start = start
    this.recoveryPoint = start.recoveryPoint
    this.revision = start.revision
    this.stages = start.stages
    this.#recorded = [...start.stages]
  }

  get hold(): Hold {
    return this.start.hold
  }

  /** Aborts when this attempt is stopped. Made when somebody asks for it: most handlers do not, and it is not cheap. */
  get signal(): AbortSignal {
    if (this.#aborter === undefined) {
      this.#aborter = new AbortController()
      if (this.#stopped !== undefined) this.#aborter.abort(this.#stopped)
    }
    return this.#aborter.signal
  }

  /** Why this attempt may not go on; undefined while it may. */
  get stopped(): PawlError | undefined {
    return this.#stopped
  }

  /** The next step that an earlier attempt recorded and this one has not passed yet. */
  get ahead(): string | undefined {
    return this.#recorded[0]?.[0]
  }

  /** Nothing of this attempt is written any more. The first reason stands. */
  stop<E extends PawlError>(reason: E): E {
    this.#stopped ??= reason
    this.#aborter?.abort(reason)
    return reason
  }

  lost(): void {
    const step = this.#open ?? this.recoveryPoint
    this.stop(new LeaseLostError({ ...this.hold, step }))
    this.tell({ type: 'lease_lost', step })
  }

  unrenewed(error: unknown): void {
    this.tell({ type: 'heartbeat_failed', error })
  }

  /**
   * Passes the gate in front of a step.
   *
   * @throws {@link StepMisusedError} another step is open, or the name is used twice
   * @throws {@link RecoveryPointUnknownError} an earlier attempt recorded something else here
   */
  enter(name: string, kind: Step['kind'] | 'finish'): Entry {
    if (this.#stopped !== undefined) throw this.#stopped
    if (this.#open !== undefined) throw this.#overlap(name)
    if (this.response !== undefined) {
      throw new StepMisusedError(
        `"${name}" comes after finish; finish is the last stage of a run.`,
        this.hold.id,
      )
    }
    if (kind !== 'finish') this.#use(name)
    const next = this.#recorded[0]
    if (next === undefined) return { kind: 'begin' }
    const [recorded, step] = next
    if (recorded !== name || step.kind !== kind) {
      const asked = kind === 'finish' ? 'finishes' : `asks for ${kind} "${name}"`
      throw this.stop(new RecoveryPointUnknownError({ id: this.hold.id, recorded, asked }))
    }
    this.#recorded = this.#recorded.slice(1)
    this.tell({ type: 'step_resumed', step: name })
    return { kind: 'recorded', step }
  }

  /** Closes the gate behind a step: before its first line, which may be the application's. `end` opens it. */
  begin(name: string): void {
    invariant(this.#open === undefined, 'steps run one after another', { id: this.hold.id })
    this.#open = name
  }

  end(): void {
    this.#open = undefined
    this.#whenEnded?.()
  }

  /** True while a step is under way. */
  get isInside(): boolean {
    return this.#open !== undefined
  }

  /** A step has failed and left nothing behind: it may be tried again under its name. */
  reopen(name: string): void {
    invariant(!this.stages.has(name), 'a recorded step is never run again', {
      id: this.hold.id,
      step: name,
    })
    this.#used?.delete(name)
  }

  /**
   * A handler has returned: nothing may be open behind its back, or it would commit after the outcome.
   *
   * @throws {@link StepMisusedError} a stage or call was not awaited; it is waited for before this is thrown
   */
  async leave(): Promise<void> {
    const name = this.#open
    if (name === undefined) return
    await new Promise<void>((resolve) => (this.#whenEnded = resolve))
    throw new StepMisusedError(
      `the handler returned while "${name}" was open; await every stage and call.`,
      this.hold.id,
    )
  }

  /** A change is durable: what it wrote is what we know of the record. */
  wrote(change: Write): void {
    invariant(
      !('revision' in change) || change.revision === this.revision,
      'changes are written in order',
      {
        id: this.hold.id,
      },
    )
    this.revision++
    if ('stages' in change) this.stages = change.stages
    if (change.kind === 'advance') this.recoveryPoint = change.to
  }

  /** The recorded steps and one more; what a write stores before it is known to have landed. */
  with(name: string, step: Step): Stages {
    return new Map([...this.stages, [name, step]])
  }

  tell(
    event: DistributiveOmit<
      Extract<PawlEvent, { attempt: number }>,
      'id' | 'operation' | 'attempt'
    >,
  ): void {
    const { id, attempt } = this.hold
    this.engine.announce({ id, attempt, operation: this.start.operation, ...event })
  }

  #overlap(name: string): StepMisusedError {
    return new StepMisusedError(
      `"${name}" was started while "${this.#open ?? ''}" is open. Stages and calls run one after another, ` +
        `never inside one another: await the first one, or move the second one out of it.`,
      this.hold.id,
    )
  }

  #use(name: string): void {
    if (!isStepName(name)) {
      throw new StepMisusedError(
        `${JSON.stringify(name)} cannot name a stage or call: expected a letter, then letters, digits, ".", "_", "-" ` +
          `(at most 100), and neither "started" nor "finished".`,
        this.hold.id,
      )
    }
    if (this.#used?.has(name) === true) {
      throw new StepMisusedError(
        `"${name}" is used twice in one attempt; give each stage and call its own name (in a loop, number them).`,
        this.hold.id,
      )
    }
    this.#used ??= new Set()
    this.#used.add(name)
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never

const runs = new AsyncLocalStorage<Run<unknown>>()

/** Runs a handler with `run` as the current one. */
export function asCurrent<Tx, Isolation extends string, R>(
  run: Run<Tx, Isolation>,
  handler: () => R,
): R {
  return runs.run(run, handler)
}

/**
 * The run that this code works for, however deep below the handler. Pass the transaction type of your store:
 * `currentRun<pg.PoolClient>()`, or use `idempotency.currentRun()`, which knows it.
 *
 * @throws {@link RunMissingError} outside of a protected handler
 */
export function currentRun<Tx = unknown, Isolation extends string = string>(): Run<Tx, Isolation> {
  const run = runs.getStore()
  if (run === undefined) throw new RunMissingError()
  return run as unknown as Run<Tx, Isolation>
}

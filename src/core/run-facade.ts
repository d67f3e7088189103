/** The run as a handler has it: each step under the name that is stored, each name as this deployment has it. */
import type { ActiveRun } from './active-run.ts'
import { call } from './call.ts'
import { finish } from './finish.ts'
import type { Names } from './operation.ts'
import type { Run } from './run.ts'
import { stage } from './stage.ts'

/** Of whatever is not registered, or was not renamed. */
const AS_THEY_ARE: Names = { stored: (name) => name, current: (name) => name }

/** Getters that are on the prototype: one is made for each request. The steps may be taken off it and passed on. */
export class RunFacade<Tx, Isolation extends string> implements Run<Tx, Isolation> {
  readonly id: string
  readonly key: string
  readonly scope: string
  readonly operation: string
  readonly version: string | undefined
  readonly attempt: number
  readonly resumed: boolean
  readonly protected = true
  readonly #run: ActiveRun<Tx, Isolation>
  readonly #names: Names

  constructor(run: ActiveRun<Tx, Isolation>, names: Names = AS_THEY_ARE) {
    const { hold, key, scope, operation, version, resumed } = run.start
    this.id = hold.id
    this.key = key
    this.scope = scope
    this.operation = operation
    this.version = version
    this.attempt = hold.attempt
    this.resumed = resumed
    this.#run = run
    this.#names = names
  }

  get signal(): AbortSignal {
    return this.#run.signal
  }

  get recoveryPoint(): string {
    return this.#names.current(this.#run.recoveryPoint)
  }

  readonly stage: Run<Tx, Isolation>['stage'] = <T>(
    name: string,
    work: (tx: Tx) => unknown,
    options = {},
  ) => stage(this.#run, this.#names.stored(name), work, options) as Promise<T>

  readonly call: Run<Tx, Isolation>['call'] = <T>(
    name: string,
    work: Parameters<typeof call>[2],
    options = {},
  ) => call(this.#run, this.#names.stored(name), work, options) as Promise<T>

  readonly finish: Run<Tx, Isolation>['finish'] = (work, options = {}) =>
    finish(this.#run, work, options)
}

/** The run as a handler has it: each step under the name that is stored, each name as this deployment has it. */
import type { ActiveRun } from './active-run.ts'
import { call } from './call.ts'
import { finish } from './finish.ts'
import type { Names } from './operation.ts'
import type { Run } from './run.ts'
import { stage } from './stage.ts'

/** Of whatever is not registered, or was not renamed. */
const AS_THEY_ARE: Names = { stored: (name) => name, current: (name) => name }

/**
 * All of it its own, and enumerable: an application may spread a run, take its steps off it, or pass on a copy that
 * traces them.
 */
export function runFacade<Tx, Isolation extends string>(
  run: ActiveRun<Tx, Isolation>,
  names: Names = AS_THEY_ARE,
): Run<Tx, Isolation> {
  const { hold, key, scope, operation, resumed, version } = run.start
  const { stored } = names
  return {
    id: hold.id,
    key,
    scope,
    operation,
    version,
    attempt: hold.attempt,
    resumed,
    protected: true,
    get signal() {
      return run.signal
    },
    get recoveryPoint() {
      return names.current(run.recoveryPoint)
    },
    stage: <T>(name: string, work: (tx: Tx) => unknown, options = {}) =>
      stage(run, stored(name), work, options) as Promise<T>,
    call: <T>(name: string, work: Parameters<typeof call>[2], options = {}) =>
      call(run, stored(name), work, options) as Promise<T>,
    finish: (work, options = {}) => finish(run, work, options),
  }
}

/**
 * Inside a stage, what goes through the handle that the store was made of goes to another connection: it commits even
 * if the stage does not, and no test that passes shows it. Where this is watched for, such a call is refused at its
 * very line, before anything is sent. What is left running behind a stage is none of its business. Why so: ADR 0024.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { ConfigError, OutsideTransactionError } from '../core/errors.ts'
import { isProduction } from '../core/runtime.ts'
import type { Database } from './database.ts'

/** A handle that leads to other connections than a stage's, and through which of its methods. */
export interface RootHandle {
  readonly handle: object
  /** As the application calls it: `pool`. */
  readonly name: string
  readonly methods: readonly string[]
  /** How they say no. A promise that rejects, by default; `callback`: to a function that comes last, if there is. */
  readonly refuses?: 'throws' | 'callback' | ((self: unknown, error: Error) => void)
  /** Methods that give a handle of the same kind. */
  readonly derives?: readonly string[]
  /** True of what a transaction sends by the same method. */
  readonly isInside?: (self: unknown, args: readonly unknown[]) => boolean
  /** What the application wrote. `name.method` by default. */
  readonly called?: (args: readonly unknown[]) => string
  readonly remedy?: string
}

/** Those of one store. Asked at each stage: a library may put another in its place. */
export type RootHandles = () => readonly RootHandle[]

/** What a store may be told of this. */
export interface OutsideOptions {
  /**
   * What becomes of a statement that is sent inside a stage, but not through its `tx`. `'refuse'`: it fails with
   * `outside_transaction`, and the stage with it. By default that, unless `NODE_ENV` is `production`.
   */
  readonly outside?: 'refuse' | 'allow'
}

/** The work of a stage. */
interface Working {
  isOpen: boolean
  readonly roots: ReadonlyMap<object, RootHandle>
  readonly id: string | undefined
  refusal: OutsideTransactionError | undefined
}

const working = new AsyncLocalStorage<Working | undefined>()

/** @throws {@link ConfigError} */
export function refusesOutside({ outside }: OutsideOptions): boolean {
  if (outside === undefined) return !isProduction()
  if (outside !== 'refuse' && outside !== 'allow') {
    throw new ConfigError(`outside: expected 'refuse' or 'allow', got ${JSON.stringify(outside)}.`)
  }
  return outside === 'refuse'
}

/** The same database, whose own statements are never taken for a stage's. */
export function besideStages<Tx, Isolation extends string>(
  database: Database<Tx, Isolation>,
): Database<Tx, Isolation> {
  return {
    ...database,
    // They may be sent for many, by whoever comes first: a stage too.
    query: (statement) => working.run(undefined, () => database.query(statement)),
    transaction: (options, work) =>
      working.run(undefined, () => database.transaction(options, work)),
  }
}

/** Watches the work of a stage. */
export class OutsideWatch<Tx> {
  readonly #roots: RootHandles

  constructor(roots: RootHandles) {
    this.#roots = roots
    // At once, too: what an application derives of a handle before its first stage is derived of a watched one.
    for (const root of present(roots)) watch(root)
  }

  /**
   * Runs it. A refusal ends the stage, also where the work makes nothing of it or something else.
   *
   * @throws {@link OutsideTransactionError} it used the handle of the store; or what it threw
   */
  async over<R>(tx: Tx, work: (tx: Tx) => Promise<R>, id: string | undefined): Promise<R> {
    const roots = present(this.#roots)
    for (const root of roots) watch(root)
    const now: Working = {
      isOpen: true,
      roots: new Map(roots.map((root) => [root.handle, root])),
      id,
      refusal: undefined,
    }
    let result: R
    try {
      result = await working.run(now, () => work(tx))
    } catch (error) {
      throw now.refusal ?? error
    } finally {
      now.isOpen = false
    }
    if (now.refusal !== undefined) throw now.refusal
    return result
  }
}

/** Those that are there: another version of a library may keep them elsewhere, and stages go on without. */
function present(roots: RootHandles): readonly RootHandle[] {
  try {
    return roots().filter(({ handle }) => handle instanceof Object)
  } catch {
    return []
  }
}

const REMEDY = 'Use the `tx` that the stage was given.'

type Method = (this: unknown, ...args: unknown[]) => unknown
type Methods = Record<string, unknown>
type Watched = Pick<RootHandle, 'handle' | 'methods' | 'derives'>

/** Methods that are watched already: a spy may have been put in their place, and taken away again. */
const watched = new WeakSet<Method>()

/** @param of - what `handle` was derived of */
function watch({ handle: of, methods, derives = [] }: Watched, handle = of): void {
  for (const name of methods) {
    put(handle, name, (call, self, args) => {
      const now = working.getStore()
      const root = now?.roots.get(of)
      if (now?.isOpen !== true || root === undefined || root.isInside?.(self, args) === true)
        return call()
      const called = root.called?.(args) ?? `${root.name}.${name}`
      const { remedy = REMEDY } = root
      const error = new OutsideTransactionError({ called, remedy, id: now.id })
      now.refusal ??= error
      return refused(root, error, self, args)
    })
  }
  for (const name of derives) {
    put(handle, name, (call) => {
      const derived = call() as object
      watch({ handle: of, methods, derives }, derived)
      return derived
    })
  }
}

/** In the place of a method, of this one object. */
function put(
  handle: object,
  name: string,
  instead: (call: () => unknown, self: unknown, args: unknown[]) => unknown,
): void {
  const methods = handle as Methods
  const found = methods[name]
  if (typeof found !== 'function' || watched.has(found as Method)) return
  const own = Object.getOwnPropertyDescriptor(handle, name)
  if (own === undefined ? !Object.isExtensible(handle) : own.writable !== true) return
  const method: Method = function (...args) {
    // Of the prototype as it is by then: tracers put theirs there at any time.
    const original = (own === undefined ? prototypeOf(handle)[name] : found) as Method
    return instead(() => original.apply(this, args), this, args)
  }
  watched.add(method)
  Object.defineProperty(handle, name, {
    value: method,
    writable: true,
    configurable: true,
    enumerable: own?.enumerable ?? true, // Knex makes clones of what it can enumerate.
  })
}

function prototypeOf(handle: object): Methods {
  return Object.getPrototypeOf(handle) as Methods
}

function refused(root: RootHandle, error: Error, self: unknown, args: unknown[]): unknown {
  const { refuses } = root
  if (refuses === 'throws') throw error
  if (typeof refuses === 'function') return refuses(self, error)
  const last = args.at(-1)
  if (refuses === 'callback' && typeof last === 'function') {
    queueMicrotask(() => void Reflect.apply(last, undefined, [error]))
    return undefined
  }
  const rejected = Promise.reject(error)
  // Nobody may wait for it. The stage fails all the same.
  rejected.catch(() => undefined)
  return rejected
}

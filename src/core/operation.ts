/**
 * A registered operation: a handler by name, with its input as JSON, so that any process can go on with an abandoned
 * request; what became of the names of its steps from version to version; and who finds out about an unknown call.
 * Protocol: docs/internals/protocol.md#versions. Conformance 47.
 */
import { type Duration, milliseconds } from './duration.ts'
import { ConfigError, ResultNotJsonError, StepMisusedError } from './errors.ts'
import { checkOperation, isStepName } from './identity.ts'
import { type Json, jsonResult } from './json.ts'
import { type OperationOptions, type Policy, policyOf } from './policy.ts'
import type { Resolver } from './resolution.ts'
import type { RunOver } from './response-run.ts'
import type { HandlerResult } from './run.ts'
import type { ClaimInput } from './store.ts'

const GRACE = { min: 1_000, max: 7 * 86_400_000 }
const ATTEMPTS_MAX = 1_000
const VERSION = /^[\x21-\x7e]{1,100}$/
const PRINCIPAL_LENGTH_MAX = 1_024
/** Characters of JSON. */
const INPUT_LENGTH_MAX = 1_048_576

/** What does the work of an operation, in whatever process. */
export type OperationHandler<Input, Tx, Isolation extends string = string> = (
  input: Input,
  run: RunOver<Tx, Isolation>,
) => Promise<HandlerResult> | HandlerResult

/** Who asks for work that goes on without its client. */
export interface Authorization<Input> {
  readonly id: string
  readonly scope: string
  /** What the client's request said; undefined when it said nothing. */
  readonly principal: string | undefined
  readonly input: Input
}

/** How an operation is registered. Only `handler` is required. */
export interface OperationDefinition<
  Input,
  Tx,
  Isolation extends string = string,
> extends OperationOptions {
  /**
   * Grows when the handler's stages or calls change; `'1'` by default. A record keeps the version that began it, and
   * the handler finds it in `run.version`: `if (run.version !== '1') await run.stage('audited', …)`.
   */
  readonly version?: string
  /** May be called by any process that registered the operation, at any time, with the input of the first request. */
  readonly handler: OperationHandler<Input, Tx, Isolation>
  /**
   * For each older version, the names it had for stages and calls and the names they have now:
   * `{ '1': { charge: 'card_charged' } }`; `{ '1': {} }` where no name has changed. Records of that version keep its
   * names, so old and new processes may take turns with them, and a call keeps its downstream key. Records of a version
   * that is neither here nor in `drain` are left to processes that know it.
   */
  readonly renamed?: Readonly<Record<string, Readonly<Record<string, string>>>>
  /** For versions that this handler cannot go on with: the handler that can, until nothing of them is left. */
  readonly drain?: Readonly<Record<string, OperationHandler<Input, Tx, Isolation>>>
  /** By the name of a call that is not repeatable: asks the called system what came of it. */
  readonly resolvers?: Readonly<Record<string, Resolver<Input>>>
  /**
   * Asked before a completer goes on without the client. False stops the record as `failed`. Everything is allowed by
   * default.
   */
  readonly authorize?: (asked: Authorization<Input>) => boolean | Promise<boolean>
  /** How long after its claim a request counts as abandoned; 1 s to 7 d, `'30s'` by default. */
  readonly grace?: Duration
  /** How often a completer tries before it stops the record as `failed`; 10 by default. */
  readonly maxAttempts?: number
}

/** What an operation says of one request. */
export interface OperationRequest<Input> {
  /** Who may share the key: tenant and principal; `'public'` must be said explicitly. */
  readonly scope: string | readonly string[]
  /** What names this one request. 1 to 255 printable ASCII characters. */
  readonly key: string
  readonly input: Input
  /** The part of the input that identifies the work, where the whole is not. */
  readonly fingerprint?: Json
  /** Who asks, for `authorize`: an opaque reference, never a credential. Stored with the record. */
  readonly principal?: string
}

/** The names of steps in a record, and what this version calls them. */
export interface Names {
  stored(name: string): string
  current(name: string): string
}

/** An operation, checked. */
export interface Registered<Tx, Isolation extends string> {
  readonly name: string
  readonly version: string
  readonly policy: Policy
  readonly graceMs: number
  readonly maxAttempts: number
  /** Whether this process can go on with a record of that version, instead of guessing what its names mean. */
  knows(version: string | undefined): boolean
  /** Goes on with a record of that version. */
  handlerOf(version: string | undefined): OperationHandler<unknown, Tx, Isolation>
  namesOf(version: string | undefined): Names
  /** @param call - as the record names it */
  resolverOf(call: string, version: string | undefined): Resolver<unknown> | undefined
  readonly authorize: ((asked: Authorization<unknown>) => boolean | Promise<boolean>) | undefined
}

const SAME: Names = { stored: (name) => name, current: (name) => name }

/** @throws {@link ConfigError} something cannot be used; says what */
export function register<Input, Tx, Isolation extends string>(
  name: string,
  definition: OperationDefinition<Input, Tx, Isolation>,
): Registered<Tx, Isolation> {
  checkOperation(name)
  checkDefinition(name, definition)
  const { handler, version = '1', drain = {}, resolvers = {}, authorize } = definition
  checkFunction(`handler of operation "${name}"`, handler)
  checkVersion(version)
  for (const [old, draining] of Object.entries(drain)) {
    checkOld(`drain`, old, version)
    checkFunction(`drain["${old}"]`, draining)
  }
  for (const [call, resolver] of Object.entries(resolvers)) {
    checkStep('resolvers', call)
    checkFunction(`resolvers["${call}"]`, resolver)
  }
  if (authorize !== undefined) checkFunction('authorize', authorize)
  const names = namesByVersion(definition.renamed ?? {}, version)
  for (const old of names.keys()) {
    if (Object.hasOwn(drain, old))
      throw new ConfigError(`renamed["${old}"]: drain has a handler of its own for that version.`)
  }
  const { maxAttempts = 10 } = definition
  if (!Number.isInteger(maxAttempts) || maxAttempts < 1 || maxAttempts > ATTEMPTS_MAX) {
    throw new ConfigError(
      `maxAttempts: expected an integer from 1 to ${ATTEMPTS_MAX}, got ${String(maxAttempts)}.`,
    )
  }
  const isDrained = (old: string | undefined): old is string =>
    old !== undefined && Object.hasOwn(drain, old)
  const namesOf = (old: string | undefined): Names =>
    old === undefined || isDrained(old) ? SAME : (names.get(old) ?? SAME)
  // What is registered is reached by name and version only; its input is the one its own first claim stored.
  type Any = OperationHandler<unknown, Tx, Isolation>
  return {
    name,
    version,
    policy: Object.freeze(policyOf(definition)),
    graceMs: milliseconds('grace', definition.grace ?? '30s', GRACE),
    maxAttempts,
    handlerOf: (old) => (isDrained(old) ? drain[old] : handler) as unknown as Any,
    knows: (old) =>
      old === undefined || old === version || names.has(old) || Object.hasOwn(drain, old),
    namesOf,
    resolverOf: (call, old) => {
      const current = namesOf(old).current(call)
      return Object.hasOwn(resolvers, current)
        ? (resolvers[current] as Resolver<unknown>)
        : undefined
    },
    authorize: authorize as Registered<Tx, Isolation>['authorize'],
  }
}

/**
 * What a claim stores of a request, so that any process can go on with it; and the input as a completer would be given
 * it, which is what the first attempt sees as well.
 *
 * @throws {@link ConfigError} input or principal cannot be stored
 */
export function taskOf<Tx, Isolation extends string>(
  { name, version, graceMs }: Registered<Tx, Isolation>,
  { input, principal }: { readonly input: unknown; readonly principal?: unknown },
): { readonly task: NonNullable<ClaimInput['task']>; readonly input: unknown } {
  const { text, value } = storedInput(name, input)
  if (text.length > INPUT_LENGTH_MAX) {
    throw new ConfigError(
      `input of operation "${name}": ${text.length} characters of JSON are more than the ${INPUT_LENGTH_MAX} that ` +
        `are stored; pass a reference to what is large.`,
    )
  }
  const isText = typeof principal === 'string' && principal !== '' && principal.isWellFormed()
  const fits = isText && principal.length <= PRINCIPAL_LENGTH_MAX && !principal.includes('\0')
  if (principal !== undefined && !fits) {
    throw new ConfigError(
      `principal of operation "${name}": expected 1 to ${PRINCIPAL_LENGTH_MAX} characters without NUL, or undefined.`,
    )
  }
  return { task: { version, input: text, principal, dueMs: graceMs }, input: value }
}

function storedInput(name: string, input: unknown): { text: string; value: unknown } {
  const remedy = 'It is stored, so that any process can go on with it: give it plain data.'
  try {
    const { text, value } = jsonResult('input', input)
    if (text !== undefined) return { text, value }
  } catch (error) {
    if (!(error instanceof ResultNotJsonError)) throw error
    throw new ConfigError(`input of operation "${name}" is not JSON: ${error.message} ${remedy}`)
  }
  throw new ConfigError(
    `input of operation "${name}": got undefined. ${remedy} (In Express, mount express.json() before the route.)`,
  )
}

// A record, so that the compiler says when an option is missing here.
const OPTIONS: Readonly<Record<keyof OperationDefinition<never, never>, true>> = {
  authorize: true,
  drain: true,
  grace: true,
  handler: true,
  inProgress: true,
  maxAttempts: true,
  onError: true,
  renamed: true,
  resolvers: true,
  responseMax: true,
  retention: true,
  storeHeaders: true,
  version: true,
}

/** A misspelt `authorize` would allow everything. */
function checkDefinition(name: string, definition: object): void {
  if (typeof definition !== 'object' || (definition as unknown) === null)
    throw new ConfigError(`operation "${name}": expected { handler: (input, run) => … }.`)
  for (const option of Object.keys(definition)) {
    if (Object.hasOwn(OPTIONS, option)) continue
    const known = Object.keys(OPTIONS).join(', ')
    throw new ConfigError(`operation "${name}": "${option}" is no option; there are ${known}.`)
  }
  for (const option of ['renamed', 'drain', 'resolvers'] as const) {
    const given: unknown = (definition as Readonly<Record<string, unknown>>)[option]
    if (given !== undefined && (typeof given !== 'object' || given === null))
      throw new ConfigError(`${option}: expected an object, got ${JSON.stringify(given)}.`)
  }
}

function namesByVersion(
  renamed: Readonly<Record<string, Readonly<Record<string, string>>>>,
  version: string,
): ReadonlyMap<string, Names> {
  return new Map(
    Object.entries(renamed).map(([old, names]) => {
      checkOld('renamed', old, version)
      const forward = new Map(Object.entries((names as typeof names | null) ?? {}))
      for (const step of [...forward.keys(), ...forward.values()]) checkStep('renamed', step)
      const back = new Map([...forward].map(([from, to]) => [to, from]))
      if (back.size !== forward.size) {
        throw new ConfigError(`renamed["${old}"]: two names of version ${old} became one.`)
      }
      return [
        old,
        {
          stored: (name: string) => {
            if (forward.has(name) && !back.has(name)) throw givenUp(old, name)
            return back.get(name) ?? name
          },
          current: (name: string) => forward.get(name) ?? name,
        },
      ]
    }),
  )
}

/** Under that name the record has something else, whose result would be taken for this one's. */
function givenUp(version: string, name: string): StepMisusedError {
  return new StepMisusedError(
    `"${name}" was renamed in records of version ${version}, and the handler uses the name for something else; give ` +
      `that another name.`,
  )
}

function checkOld(option: string, old: string, version: string): void {
  checkVersion(old)
  if (old === version) {
    throw new ConfigError(
      `${option}: "${old}" is the version that is registered; it is for older ones. Give the operation a new version.`,
    )
  }
}

function checkVersion(version: unknown): void {
  if (typeof version === 'string' && VERSION.test(version)) return
  throw new ConfigError(
    `version: expected 1 to 100 printable characters without spaces, like '2', got ${JSON.stringify(version)}.`,
  )
}

function checkStep(option: string, name: unknown): void {
  if (typeof name === 'string' && isStepName(name)) return
  throw new ConfigError(
    `${option}: ${JSON.stringify(name)} cannot name a stage or call: expected a letter, then letters, digits, ` +
      `".", "_", "-".`,
  )
}

function checkFunction(option: string, given: unknown): void {
  if (typeof given !== 'function')
    throw new ConfigError(`${option}: expected a function, got ${typeof given}.`)
}

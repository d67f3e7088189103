/**
 * The options of a route: parsed and checked once, when `idempotent()` is called. What is wrong stops the start-up, in
 * particular a scope that is not there: a shared bucket would hand one user's response to another.
 */
import { ConfigError } from '../core/errors.ts'
import type { Operation } from '../core/idempotency.ts'
import type { Registered } from '../core/operation.ts'
import { type OperationOptions, type Policy, policyOf } from '../core/policy.ts'
import { checkOperation } from '../core/identity.ts'
import type { Json } from '../core/json.ts'
import type { Draft, Outcome } from '../core/outcome.ts'

/** Who may share a key: `'a'`, or several parts like `[tenant, user]`. */
export type Scope = string | readonly string[]

/** What {@link RouteOptions.rebuild} gets. */
export interface Replay<Req> {
  /** What was stored when the request finished. */
  readonly outcome: Outcome
  /** The request that asks again. */
  readonly request: Req
}

// A member declared as a method may be given a function of a narrower request (`req: AuthenticatedRequest`), which is
// how applications type what their own middleware adds.
type OfRequest<Req, R> = { of(request: Req): R | Promise<R> }['of']

/**
 * How a route is protected. `operation` and `scope` are required.
 *
 * @typeParam Req - the framework's own request
 */
export interface RouteOptions<Req> extends OperationOptions {
  /**
   * The stable name of what is done (`create-ride`): part of the record's id, so it outlives renamed routes. Or what
   * `idempotency.operation()` returned: then its handler does the work, and its options hold.
   */
  readonly operation: string | Operation<never>
  /** Required for a registered operation: what its handler works on. By it, two requests are told apart. */
  readonly input?: OfRequest<Req, unknown>
  /** Of a registered operation: who asks, for its `authorize`. An opaque reference, never a credential. */
  readonly principal?: OfRequest<Req, string | undefined>
  /**
   * Who may share a key: a function that names tenant and principal, so mount the route after authentication. At run
   * time undefined, `''` and `[]` are refused ({@link ScopeMissingError}). `'public'`: everybody may, said explicitly.
   */
  readonly scope: 'public' | OfRequest<Req, Scope>
  /**
   * A request without the header: `'reject'` (default) answers 400, `'allow'` runs it unprotected, `'generate'` makes a
   * key and returns it in the response's `Idempotency-Key` (Medusa v1), exposed to CORS.
   */
  readonly missing?: 'reject' | 'allow' | 'generate'
  /** The header's name. `'Idempotency-Key'` by default. */
  readonly header?: string
  /** True: only a quoted RFC 9651 String is accepted. False by default: bare keys too. */
  readonly strictHeader?: boolean
  /** Characters of a key, 1 to 255. 255 by default (Stripe v1). */
  readonly keyMax?: number
  /** Methods that are protected; others run as if no key was sent. POST, PATCH by default; PUT, DELETE may be added. */
  readonly methods?: readonly string[]
  /** The status of `payload_mismatch`. 422 by default (draft-07). */
  readonly mismatchStatus?: 400 | 409 | 422
  /**
   * The JSON that identifies the work, instead of method, path, query and body; the body is then not read.
   * `idempotency.run({ fingerprint })` with the same JSON names the same work.
   */
  readonly fingerprint?: OfRequest<Req, Json>
  /**
   * Bytes of a request body that are read for the fingerprint, and before the `input` of a registered operation; a
   * longer one is answered 413. 1,048,576 by default.
   */
  readonly requestMax?: number
  /** Makes the response of a replay from what is true now. By default the stored response is sent again as it was. */
  readonly rebuild?: OfRequest<Replay<Req>, Draft>
  /** True: responses say in `Idempotency-Key-Retention` for how many seconds a key is remembered. False by default. */
  readonly expiresHeader?: boolean
  /**
   * No answer from the store: `'refuse'` (default) answers 503 and does not run the handler. `'run_unprotected'` runs
   * it without a record, so that a retry runs it again; announced as `unprotected` and as a process warning.
   */
  readonly storeUnavailable?: 'refuse' | 'run_unprotected'
  /** Your page about idempotency keys: linked from problems, and the base of their `type`. */
  readonly docs?: string
}

/**
 * A route's options, checked.
 *
 * @internal
 */
export interface Route<Req> extends Readonly<
  Required<
    Omit<
      RouteOptions<Req>,
      | keyof OperationOptions
      | 'operation'
      | 'input'
      | 'principal'
      | 'fingerprint'
      | 'rebuild'
      | 'docs'
      | 'methods'
    >
  >
> {
  readonly operation: string
  readonly registered: RegisteredRoute<Req> | undefined
  readonly methods: ReadonlySet<string>
  readonly fingerprint: RouteOptions<Req>['fingerprint']
  readonly rebuild: RouteOptions<Req>['rebuild']
  readonly docs: string | undefined
  readonly policy: Policy
}

/** What a route of a registered operation has. */
export interface RegisteredRoute<Req> {
  readonly operation: Registered<unknown, string>
  readonly input: NonNullable<RouteOptions<Req>['input']>
  readonly principal: RouteOptions<Req>['principal']
}

const REQUEST_MAX_BYTES = 64 * 1024 * 1024
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const METHODS: readonly string[] = ['POST', 'PATCH', 'PUT', 'DELETE']

// A record, so that the compiler says when an option is missing here.
const NAMES: Readonly<Record<keyof RouteOptions<never>, true>> = {
  docs: true,
  expiresHeader: true,
  fingerprint: true,
  header: true,
  inProgress: true,
  input: true,
  keyMax: true,
  methods: true,
  mismatchStatus: true,
  missing: true,
  onError: true,
  operation: true,
  principal: true,
  rebuild: true,
  requestMax: true,
  responseMax: true,
  retention: true,
  scope: true,
  storeHeaders: true,
  storeUnavailable: true,
  strictHeader: true,
}

/**
 * Checks a route's options.
 *
 * @throws {@link ConfigError} says which option, what was expected, and what to do
 * @internal
 */
export function routeOf<Req>(options: RouteOptions<Req>): Route<Req> {
  if (typeof options !== 'object' || (options as unknown) === null)
    throw new ConfigError("options: expected { operation: 'create-ride', scope: (req) => … }.")
  checkNames(options)
  const operation = nameOf(options.operation)
  checkOperation(operation)
  checkScope(options.scope)
  const registered = registeredOf(options)
  return Object.freeze({
    operation,
    registered,
    scope: options.scope,
    missing: oneOf('missing', options.missing, ['reject', 'allow', 'generate']),
    header: headerName(options.header ?? 'Idempotency-Key'),
    strictHeader: flag('strictHeader', options.strictHeader),
    keyMax: whole('keyMax', options.keyMax ?? 255, 1, 255),
    methods: methodsOf(options.methods ?? ['POST', 'PATCH']),
    mismatchStatus: oneOf('mismatchStatus', options.mismatchStatus, [422, 400, 409]),
    fingerprint: optionalFunction('fingerprint', options.fingerprint),
    requestMax: whole('requestMax', options.requestMax ?? 1_048_576, 0, REQUEST_MAX_BYTES),
    rebuild: optionalFunction('rebuild', options.rebuild),
    expiresHeader: flag('expiresHeader', options.expiresHeader),
    storeUnavailable: oneOf('storeUnavailable', options.storeUnavailable, [
      'refuse',
      'run_unprotected',
    ]),
    docs: docsOf(options.docs),
    policy: registered?.operation.policy ?? Object.freeze(policyOf(options)),
  })
}

function nameOf(operation: unknown): unknown {
  const isObject = typeof operation === 'object' && operation !== null
  return isObject && 'name' in operation ? operation.name : operation
}

/** Said where the operation is registered, so that a completer, a webhook and a route do the same. */
const SAID_THERE: readonly (keyof OperationOptions)[] = [
  'retention',
  'onError',
  'inProgress',
  'responseMax',
  'storeHeaders',
]

function registeredOf<Req>(options: RouteOptions<Req>): RegisteredRoute<Req> | undefined {
  const { operation: asked, input, principal } = options
  if (typeof asked !== 'object') {
    const own = input === undefined ? (principal === undefined ? undefined : 'principal') : 'input'
    if (own === undefined) return undefined
    throw new ConfigError(
      `${own}: it is for a registered operation; give operation what idempotency.operation() returned.`,
    )
  }
  const operation = asked.registered as Registered<unknown, string> | undefined
  if (operation === undefined) {
    throw new ConfigError(
      `operation: expected a name like 'create-ride', or what idempotency.operation() returned.`,
    )
  }
  const said = SAID_THERE.find((name) => options[name] !== undefined)
  if (said !== undefined)
    throw new ConfigError(`${said}: say it where operation "${asked.name}" is registered.`)
  if (typeof input !== 'function') {
    throw new ConfigError(
      `input: expected a function that gives operation "${asked.name}" its JSON, like (req) => req.body; ` +
        `got ${shown(input)}.`,
    )
  }
  if (options.storeUnavailable === 'run_unprotected') {
    throw new ConfigError(
      `storeUnavailable: a completer may finish what ran unprotected once more; leave it at 'refuse' for a ` +
        `registered operation.`,
    )
  }
  return {
    operation,
    input,
    principal: optionalFunction('principal', principal),
  }
}

/**
 * A registered operation brings its handler along, and belongs to one idempotency.
 *
 * @throws {@link ConfigError}
 * @internal
 */
export function checkHandler<Req>(
  { operations }: { readonly operations: ReadonlyMap<string, unknown> },
  { operation, registered }: Route<Req>,
  handler: unknown,
): void {
  if (registered === undefined) return
  if (operations.get(operation) !== registered.operation) {
    throw new ConfigError(
      `operation: "${operation}" was not registered with this idempotency; use one createIdempotency() for both.`,
    )
  }
  if (handler !== undefined)
    throw new ConfigError(
      `handler: operation "${operation}" was registered with one; leave it out.`,
    )
}

function checkNames(options: object): void {
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(NAMES, name)) continue
    const nearest = Object.keys(NAMES).reduce((a, b) =>
      distance(name, b) < distance(name, a) ? b : a,
    )
    throw new ConfigError(`options: "${name}" is no option; did you mean "${nearest}"?`)
  }
}

function checkScope(scope: unknown): void {
  if (scope === 'public' || typeof scope === 'function') return
  throw new ConfigError(
    `scope: expected a function that says who may share a key, like (req) => req.auth.userId, or 'public'; ` +
      `got ${typeof scope === 'string' ? 'another string, one bucket for everybody' : typeof scope}.`,
  )
}

function oneOf<const Value>(
  name: string,
  given: Value | undefined,
  allowed: readonly [Value, ...Value[]],
): Value {
  if (given === undefined) return allowed[0]
  if (allowed.includes(given)) return given
  throw new ConfigError(
    `${name}: expected ${allowed.map((value) => JSON.stringify(value)).join(' or ')}, got ${shown(given)}.`,
  )
}

function flag(name: string, given: boolean | undefined): boolean {
  return oneOf(name, given, [false, true])
}

function whole(name: string, given: number, min: number, max: number): number {
  if (Number.isInteger(given) && given >= min && given <= max) return given
  throw new ConfigError(`${name}: expected an integer from ${min} to ${max}, got ${shown(given)}.`)
}

function optionalFunction<F>(name: string, given: F | undefined): F | undefined {
  if (given === undefined || typeof given === 'function') return given
  throw new ConfigError(`${name}: expected a function, got ${shown(given)}.`)
}

function headerName(given: string): string {
  if (typeof given === 'string' && TOKEN.test(given)) return given
  throw new ConfigError(`header: expected a header name, got ${shown(given)}.`)
}

function methodsOf(given: readonly string[]): ReadonlySet<string> {
  if (!Array.isArray(given) || given.length === 0)
    throw new ConfigError(`methods: expected some of ${METHODS.join(', ')}, got ${shown(given)}.`)
  return new Set(
    (given as readonly unknown[]).map((method) => {
      const upper = String(method).toUpperCase()
      if (METHODS.includes(upper)) return upper
      throw new ConfigError(
        `methods: expected some of ${METHODS.join(', ')}, got ${shown(method)}. GET, HEAD and OPTIONS are safe to ` +
          `repeat as they are, and a stored answer to them would be a cache.`,
      )
    }),
  )
}

function docsOf(given: string | undefined): string | undefined {
  if (given === undefined) return undefined
  const url = typeof given === 'string' && URL.canParse(given) ? new URL(given) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new ConfigError(`docs: expected an absolute http(s) URL, got ${shown(given)}.`)
  return url.href
}

function shown(value: unknown): string {
  return typeof value === 'function' ? 'a function' : (JSON.stringify(value) ?? String(value))
}

/** Edits between two names (Levenshtein), in lower case: `scopes` and `Scope` are near `scope`. */
function distance(left: string, right: string): number {
  const a = left.toLowerCase()
  const b = right.toLowerCase()
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}

/**
 * What a protected route adds to its OpenAPI 3.1 operation: the header, the problems, the marks of a replay, and for
 * how long a key is remembered.
 * Conformance 31.
 */
import { type Code, CODES } from '../core/codes.ts'
import { type RouteOptions, routeOf } from './options.ts'
import type { ProblemCode } from './problem.ts'

/** A JSON Schema, or any part of an OpenAPI document. */
export interface OpenApiObject {
  readonly [member: string]: unknown
}

/** What to merge into an operation. */
export interface OpenApiFragment {
  /** Into the operation's `parameters`. */
  readonly parameters: readonly OpenApiObject[]
  /** Into the operation's `responses`, by status. */
  readonly responses: Readonly<Record<string, OpenApiObject>>
  /** Into the `headers` of each response that the operation itself describes. */
  readonly headers: Readonly<Record<string, OpenApiObject>>
  /** Into the operation: how long a key is remembered, in seconds, and for which methods. */
  readonly 'x-idempotency': {
    readonly retention_seconds: number
    readonly methods: readonly string[]
  }
}

const REFUSALS: readonly ProblemCode[] = [
  'key_missing',
  'key_invalid',
  'in_progress',
  'outcome_unknown',
  'recovery_point_unknown',
  'response_not_stored',
  'body_too_large',
  'payload_mismatch',
  'store_unavailable',
  'call_timeout',
]
const WITH_RETRY_AFTER: ReadonlySet<Code> = new Set<Code>(['in_progress', 'store_unavailable'])

/**
 * Describes a route, from the very options it is protected with.
 *
 * @throws {@link ConfigError} an option cannot be used
 */
export function openApiOf<Req>(options: RouteOptions<Req>): OpenApiFragment {
  const route = routeOf(options)
  const retentionSeconds = Math.floor(route.policy.retentionMs / 1_000)
  const codes = REFUSALS.filter((code) => code !== 'key_missing' || route.missing === 'reject')
  const statusOf = (code: ProblemCode): number =>
    code === 'payload_mismatch' ? route.mismatchStatus : CODES[code].status
  const statuses = [...new Set(codes.map(statusOf))].sort((a, b) => a - b)
  return {
    parameters: [
      {
        name: route.header,
        in: 'header',
        required: route.missing === 'reject',
        description:
          `Names this request, so that it can be sent again safely: a fresh UUID for each logical request, the ` +
          `same one in each retry. Remembered for ${retentionSeconds} seconds.`,
        schema: { type: 'string', minLength: 1, maxLength: headerMax(route) },
        example: '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
      },
    ],
    responses: Object.fromEntries(
      statuses.map((status) => [
        String(status),
        problemResponse(codes.filter((code) => statusOf(code) === status)),
      ]),
    ),
    headers: {
      'Idempotent-Replayed': {
        description: 'Present when this is the stored response of the first request with this key.',
        schema: { type: 'string', const: 'true' },
      },
      ...(route.expiresHeader && {
        'Idempotency-Key-Retention': {
          description: 'For how many seconds a key is remembered.',
          schema: { type: 'integer', const: retentionSeconds },
        },
      }),
      ...(route.missing === 'generate' && {
        [route.header]: {
          description: 'The key that was made for a request that carried none.',
          schema: { type: 'string' },
        },
      }),
    },
    'x-idempotency': { retention_seconds: retentionSeconds, methods: [...route.methods] },
  }
}

/** Quoted, each character may be escaped. */
function headerMax({ keyMax }: { readonly keyMax: number }): number {
  return 2 * keyMax + 2
}

function problemResponse(codes: readonly ProblemCode[]): OpenApiObject {
  return {
    description: codes.map((code) => `\`${code}\`: ${CODES[code].title}.`).join(' '),
    ...(codes.some((code) => WITH_RETRY_AFTER.has(code)) && {
      headers: {
        'Retry-After': {
          description: 'Seconds until the same request is worth sending again, where that helps.',
          schema: { type: 'integer', minimum: 1 },
        },
      },
    }),
    content: { 'application/problem+json': { schema: problemSchema(codes) } },
  }
}

function problemSchema(codes: readonly ProblemCode[]): OpenApiObject {
  const text = { type: 'string' }
  const truth = { type: 'boolean' }
  return {
    type: 'object',
    required: ['type', 'title', 'status', 'detail', 'code', 'retryable', 'safe_new_key'],
    properties: {
      type: { type: 'string', format: 'uri' },
      title: text,
      status: { type: 'integer' },
      detail: text,
      code: { type: 'string', enum: codes },
      retryable: truth,
      safe_new_key: truth,
      operation_ref: { type: 'string', pattern: '^ikey_' },
    },
  }
}

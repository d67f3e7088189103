/**
 * `pawl/http`: the draft-07 profile, for those who describe or extend it: a route's options, its problems, its OpenAPI
 * fragment. A framework's own subpath (`pawl/express`, `pawl/fetch`) is what protects a route.
 * @module
 */
export { openApiOf, type OpenApiFragment, type OpenApiObject } from './openapi.ts'
export type { Replay, RouteOptions, Scope } from './options.ts'
export type { Problem, ProblemCode } from './problem.ts'

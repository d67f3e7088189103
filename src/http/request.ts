/**
 * A request as the profile sees it, whatever framework it came through.
 */

/** What a framework's file says of one request. */
export interface HttpRequest {
  readonly method: string
  /** Path and query as the client sent them. */
  readonly target: string
  /** The field lines of a header; where lines were joined on the way, the joined value as one. */
  header(name: string): readonly string[]
  /**
   * The body, still readable for the handler afterwards.
   *
   * @param max - bytes
   * @throws {@link ConfigError} something has consumed it and left nothing behind
   */
  body(max: number): Promise<RequestBody>
}

/** A body. `parsed`: what a body parser of the framework left of it. */
export type RequestBody =
  | { readonly kind: 'none' }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'parsed'; readonly value: unknown }
  | { readonly kind: 'too_large' }

/** What is found out about a call whose answer was never learned, and by whom. */

/** What is known of a call now. */
export type Resolution =
  /** It happened, and returned this: JSON, what the call itself would have returned. */
  | { readonly kind: 'done'; readonly result?: unknown }
  /** It did not happen, and never will: it is sent anew. */
  | { readonly kind: 'never' }
  | { readonly kind: 'unknown' }

/** What a resolver gets. */
export interface ResolverContext<Input> {
  /** What the call was sent with: look it up there. */
  readonly idempotencyKey: string
  readonly id: string
  readonly input: Input
  /** Aborts when nobody waits for the answer any more: after 10 s. */
  readonly signal: AbortSignal
}

/** Asks the called system. What it throws means that it is still unknown. */
export type Resolver<Input> = (context: ResolverContext<Input>) => Promise<Resolution> | Resolution

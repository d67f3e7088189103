/**
 * Replay: the stored outcome as a response, marked, byte for byte. A body that was not kept is a problem that says so,
 * and never a second execution; nor is one of which nothing was kept.
 * Conformance 12, 13, 16–18.
 */
import type { Header, Outcome, WholeResponse } from '../core/outcome.ts'
import { responseOf, storedHeaders } from '../core/outcome.ts'
import type { Route } from './options.ts'
import { problemOf } from './problem.ts'

/**
 * The response of a replay.
 *
 * @throws whatever `rebuild` threw
 * @throws {@link ConfigError} the stored status or a stored header cannot be sent: somebody wrote into the table
 */
export async function replayOf<Req>(
  route: Route<Req>,
  id: string,
  outcome: Outcome,
  request: Req,
): Promise<WholeResponse> {
  // Of a tombstone nothing is rebuilt: it is not known that this is the request which was done.
  if (route.rebuild !== undefined && outcome.erased !== true) {
    return marked(responseOf(await route.rebuild({ outcome, request })))
  }
  const headers = storedHeaders(outcome.headers, route.policy.storeHeaders)
  if (outcome.body === undefined) {
    return problemOf({
      code: 'response_not_stored',
      docs: route.docs,
      id,
      headers: headers.filter(([name]) => name === 'location'),
    })
  }
  return marked(responseOf({ status: outcome.status, headers, body: outcome.body }, false))
}

function marked(response: WholeResponse): WholeResponse {
  const headers: Header[] = [...response.headers, ['idempotent-replayed', 'true']]
  // A shared cache must not serve one caller's replay to another.
  if (!headers.some(([name]) => name === 'cache-control'))
    headers.push(['cache-control', 'no-store'])
  return { ...response, headers }
}

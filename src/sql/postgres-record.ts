/** What the statements of PostgreSQL read of a record, of a table named `k`. */

/** Equal in all attempts of one execution: the instant of the claim, to the microsecond. */
export const EXECUTION: string = `(extract(epoch from k.created_at) * 1000000)::bigint::text`

/** What every statement reads of a record. Text, so that no driver's parser gets in between. */
export const RECORD: string = `
  k.id, k.state, k.fingerprint, k.owner, k.attempt, k.revision, k.recovery_point,
  k.stages::text as stages, k.response_code, k.response_headers::text as response_headers, k.response_body,
  ${EXECUTION} as execution, k.version,
  (k.expires_at < clock_timestamp())::int as expired,
  greatest(0, ceil(extract(epoch from k.locked_until - clock_timestamp()) * 1000))::float8 as lease_left_ms`

/** And what it is about. */
export const WHOLE: string = `${RECORD},
  k.operation, k.scope, k.idempotency_key, k.request_params::text as input, k.principal`

/** Nobody works on it. */
export const LAPSED: string = `(k.locked_until is null or k.locked_until < clock_timestamp())`

/**
 * A member of a claim's WITH: the records that are there already, as of the statement's start. It comes behind `asked`
 * and before `claimed`, with which CLAIMED_OR_THERE reads it.
 */
export const there = (table: string): string => `there as materialized (
        select ${RECORD}
          from ${table} k
         where k.id = any (array(select id from asked))
      )`

/** Rows of one shape: what was inserted has no state. */
export const CLAIMED_OR_THERE: string = `select * from there
       union all
      select id, null, null, owner, null, null, null, null, null, null, null, execution, null, null, null
        from claimed`

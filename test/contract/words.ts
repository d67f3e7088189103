/** What the suite says in the SQL of each family of databases. */
import type { StoreUnderTest } from '../../src/testing/store-under-test.ts'
import type { Queries } from './store-under-test.ts'

export interface Words {
  /** What the statement begins with that opens a transaction for writing. */
  readonly begin: string
  /** The instant so many milliseconds from now (or before), as an expression. */
  at(ms: number): string
  /** An instant of a column, so many milliseconds earlier. */
  earlier(column: string, ms: number): string
  /** Seconds from one column to another. */
  seconds(from: string, to: string): string
  /** A parameter for a column of JSON. */
  json(parameter: string): string
  /** An instant in the past, as an expression. */
  readonly longAgo: string
  readonly faults: NonNullable<StoreUnderTest<Queries>['faults']>
}

export const POSTGRES: Words = {
  begin: 'begin',
  at: (ms) => `clock_timestamp() + ${String(ms)} * interval '1 millisecond'`,
  earlier: (column, ms) => `${column} - ${String(ms)} * interval '1 millisecond'`,
  seconds: (from, to) => `extract(epoch from ${to} - ${from})`,
  json: (parameter) => `${parameter}::json`,
  longAgo: `now() - interval '10 years'`,
  faults: {
    abort: (tx, nth) => {
      const code = ['40001', '40P01'][nth % 2] ?? ''
      return tx.query(`do $$ begin raise exception 'injected' using errcode = '${code}'; end $$`)
    },
    refuse: (tx) => tx.query('select 1 / 0'),
    spoils: true,
  },
}

export const SQLITE: Words = {
  begin: 'begin immediate',
  at: (ms) => `cast(unixepoch('subsec') * 1000 as integer) + ${String(ms)}`,
  earlier: (column, ms) => `${column} - ${String(ms)}`,
  seconds: (from, to) => `(${to} - ${from}) / 1000.0`,
  json: (parameter) => parameter,
  longAgo: '0',
  faults: {
    // Nobody can be in the way of an open transaction: this is what a commit meets.
    abort: () =>
      Promise.reject(Object.assign(new Error('database is locked'), { code: 'SQLITE_BUSY' })),
    refuse: (tx) => tx.query('select no_such_function()'),
    spoils: false,
  },
}

export const MYSQL: Words = {
  begin: 'start transaction',
  at: (ms) => `utc_timestamp(6) + interval ${String(ms * 1_000)} microsecond`,
  earlier: (column, ms) => `${column} - interval ${String(ms * 1_000)} microsecond`,
  seconds: (from, to) => `timestampdiff(microsecond, ${from}, ${to}) / 1000000`,
  json: (parameter) => parameter,
  longAgo: `'1990-01-01'`,
  faults: {
    abort: (tx, nth) => {
      const [state, number] = nth % 2 === 0 ? ['40001', 1213] : ['HY000', 1205]
      return tx.query(`signal sqlstate '${state}' set mysql_errno = ${String(number)}`)
    },
    refuse: (tx) => tx.query('select no_such_function()'),
    spoils: false,
  },
}

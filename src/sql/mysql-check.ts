/** What is wrong with a MySQL or MariaDB server, and the settings of a session on it. */
import type { StoreProblem } from '../core/store.ts'
import type { Rows } from './database.ts'
import type { Runner } from './steps.ts'

type Settings = Rows[number]

const SETTINGS = `
  select @@global.read_only as read_only, @@autocommit as autocommit,
         @@global.innodb_flush_log_at_trx_commit as flush_log, @@global.log_bin as log_bin,
         @@global.sync_binlog as sync_binlog, @@session.sql_mode as sql_mode`

const RULES: readonly (readonly [
  code: string,
  isWrong: (settings: Settings) => boolean,
  message: string,
])[] = [
  [
    'read_only_server',
    (of) => Number(of['read_only']) !== 0,
    'this server is read-only; give Pawl a connection to the primary',
  ],
  [
    'autocommit_off',
    (of) => Number(of['autocommit']) !== 1,
    'autocommit is off: a claim would wait in a transaction that nobody commits; turn it on for this pool',
  ],
  [
    'flush_log_off',
    (of) => Number(of['flush_log']) !== 1,
    'innodb_flush_log_at_trx_commit is not 1: acknowledged results are lost in a crash',
  ],
  [
    'sync_binlog_off',
    (of) => Number(of['log_bin']) === 1 && Number(of['sync_binlog']) !== 1,
    'sync_binlog is not 1: a crash may lose what replicas were sent, and the other way round',
  ],
  [
    'no_backslash_escapes',
    (of) => String(of['sql_mode']).includes('NO_BACKSLASH_ESCAPES'),
    'sql_mode has NO_BACKSLASH_ESCAPES: libraries that put values into the text escape them wrongly then',
  ],
  [
    'sql_mode_not_strict',
    (of) => !/STRICT_(?:TRANS|ALL)_TABLES/.test(String(of['sql_mode'])),
    'sql_mode is not strict: values that do not fit are cut, and responses with them; add STRICT_TRANS_TABLES',
  ],
]

/** One row of settings, each rule on it. */
export async function check(query: Runner['query']): Promise<readonly StoreProblem[]> {
  const [settings] = await query({ text: SETTINGS, values: [] })
  if (settings === undefined) return []
  return RULES.flatMap(([code, isWrong, message]) => (isWrong(settings) ? [{ code, message }] : []))
}

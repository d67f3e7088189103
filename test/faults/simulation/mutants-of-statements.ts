/** Defects in the text of a statement: a predicate that is missing, or another one. */
import { type Mutant, reworded, rewording } from './planting.ts'

const NOW = "cast(round(unixepoch('subsec') * 1000) as integer)"
const HOLDER = 'owner = $2 and attempt = $3'
const LAPSED = / and \(locked_until is null or locked_until < [^)]+\)[^)]+\)[^)]+\)/

/** Them. */
export const STATEMENT_MUTANTS: readonly Mutant[] = [
  {
    name: 'no fence on a stage',
    seenIn: 'brandur/rocket-rides-atomic api.rb',
    rewrite: rewording(['fenceAdvance'], `${HOLDER} and`, ''),
  },
  {
    name: 'no fence on the finish',
    seenIn: 'brandur/rocket-rides-atomic api.rb',
    rewrite: rewording(['fenceFinish'], `${HOLDER} and`, ''),
  },
  {
    name: 'fence by time alone',
    seenIn: 'leases that are compared and never counted',
    rewrite: rewording(['fenceAdvance', 'fenceFinish'], HOLDER, `locked_until >= ${NOW}`),
  },
  {
    name: 'a stage is not compared with the point it saw',
    seenIn: 'protocol: recovery_point and revision keep a stage from being committed twice',
    rewrite: rewording(['fenceAdvance'], /recovery_point = \$4 and revision = \$8\s+and/, ''),
  },
  {
    name: 'the error path unlocks without looking whose it is',
    seenIn: 'rocket-rides atomic_phase ensure; KanishJebaMathewM/Truxify PR #5611, del(lockKey)',
    rewrite: (name, statement) => {
      const isRelease =
        name === 'write' && statement.values.slice(3).every((value) => value === null)
      return isRelease ? reworded(statement, `and ${HOLDER}`, '') : statement
    },
  },
  {
    name: 'a change in autocommit is not fenced',
    seenIn: 'protocol: the predicate of every change that an attempt makes',
    rewrite: rewording(['write'], `and ${HOLDER}`, ''),
  },
  {
    name: 'a claim overwrites what is in flight',
    seenIn: 'idempot-dev/idempot-js #182, SETEX',
    rewrite: rewording(
      ['claim'],
      'do nothing',
      `do update set owner = excluded.owner, locked_until = excluded.locked_until
       where state = 'running'`,
    ),
  },
  {
    name: 'a takeover does not look at the lease',
    seenIn: 'protocol: lease live, in progress',
    rewrite: (name, statement) => {
      if (name === 'look') return reworded(statement, /max\(0, coalesce\([\s\S]+?, 0\)\)/, '0')
      return name === 'takeOver' ? reworded(statement, LAPSED, '') : statement
    },
  },
  {
    name: 'a waiter takes over without reading again',
    seenIn: 'KanishJebaMathewM/Truxify #6898',
    rewrite: (name, statement) => {
      if (name !== 'takeOver') return statement
      const blind = reworded(
        statement,
        "and attempt = $2 and revision = $5 and state = 'running'",
        '',
      )
      return reworded(reworded(blind, LAPSED, ''), 'set owner', "set state = 'running', owner")
    },
  },
  {
    name: 'attempts are counted anew after the retention',
    seenIn: 'protocol: attempt is never set back',
    rewrite: rewording(['reset'], 'attempt = attempt + 1', 'attempt = 1'),
  },
  {
    name: 'a key that begins anew keeps its old fingerprint',
    seenIn: 'protocol: begin a new execution in the row',
    rewrite: rewording(['reset'], 'fingerprint = $5,', ''),
  },
  {
    name: 'the retention is judged by a clock that is ahead',
    seenIn: 'protocol: time is the database’s',
    rewrite: (name, statement) => {
      const ahead = `expires_at < ${NOW} + 600000`
      if (name !== 'look' && name !== 'reset') return statement
      return reworded(statement, new RegExp(`expires_at < ${escaped(NOW)}`, 'g'), ahead)
    },
  },
  {
    name: 'the reaper deletes by age, whatever the state',
    seenIn: 'brandur/rocket-rides-atomic reaper.rb',
    rewrite: rewording(['reap'], "and e.state = 'finished'", ''),
  },
  {
    name: 'a resolver’s answer is written without comparing',
    seenIn: 'protocol: what it says is one compare-and-set',
    rewrite: rewording(['restart'], 'and attempt = $2 and revision = $3 and state = $4', ''),
  },
  {
    name: 'a record is stopped without comparing',
    seenIn: 'protocol: whoever has taken it over meanwhile is not stopped',
    rewrite: (name, statement) =>
      name === 'stop'
        ? reworded(reworded(statement, 'and attempt = $2 and revision = $3', ''), LAPSED, '')
        : statement,
  },
]

function escaped(text: string): string {
  return text.replace(/[()*.]/g, '\\$&')
}

/**
 * Rows that everybody wants at once: each stage adds one to two accounts drawn at random, in the order they were drawn.
 * Two stages in each other's way are a deadlock, or fail to serialize; their sum says how often any of them committed.
 */

/** Few enough that stages meet. */
export const ACCOUNTS = 24

export const CREATE_ACCOUNTS = 'create table accounts (id int primary key, balance int not null)'
export const FILL_ACCOUNTS: string = `insert into accounts (id, balance) values ${Array.from(
  { length: ACCOUNTS },
  (_, id) => `(${id}, 0)`,
).join()}`
export const ADD = 'update accounts set balance = balance + 1 where id = '
export const SUM = 'select sum(balance) as total from accounts'

/** Two accounts. */
export function drawn(random: () => number): readonly [number, number] {
  const from = Math.floor(random() * ACCOUNTS)
  const by = 1 + Math.floor(random() * (ACCOUNTS - 1))
  return [from, (from + by) % ACCOUNTS]
}

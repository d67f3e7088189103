/** Goal: what a driver said is read out of what Prisma makes of it. Method: errors as Prisma 7.10 threw them. */
import { expect, test } from 'vitest'
import { SAVEPOINT } from '../../../src/sql/guard.ts'
import * as mysql from '../../../src/sql/mysql-errors.ts'
import * as sqlite from '../../../src/sql/sqlite-errors.ts'

const adapters = (cause: object): Error => Object.assign(new Error('adapter'), { cause })
const prismas = (code: string, cause: object): Error =>
  Object.assign(new Error('Prisma'), { code, meta: { driverAdapterError: adapters(cause) } })
const ofMysql = (code: number, state: string) => {
  const message = 'said'
  return {
    originalCode: String(code),
    originalMessage: message,
    kind: 'mysql',
    code,
    message,
    state,
  }
}

test.each([
  [
    'deadlock',
    'P2034',
    { originalCode: '1213', kind: 'TransactionWriteConflict' },
    'aborted',
    true,
  ],
  ['lock wait', 'P2010', ofMysql(1205, 'HY000'), 'aborted', true],
  ['no table', 'P2021', { originalCode: '1146', kind: 'TableDoesNotExist' }, 'not_migrated', true],
  ['killed', 'P2010', ofMysql(1927, '70100'), 'unavailable', false],
  ['connection closed', 'P2010', ofMysql(45_013, '08S01'), 'unavailable', false],
  ['pool timeout', 'P2039', ofMysql(45_028, 'HY000'), 'unavailable', false],
  ['syntax', 'P2010', ofMysql(1064, '42000'), 'refused', true],
] as const)('MySQL: %s', (_, code, cause, failure, answered) => {
  for (const error of [prismas(code, cause), adapters(cause)]) {
    expect(mysql.failureOf(error)).toBe(failure)
    expect(mysql.hasAnswered(error)).toBe(answered)
  }
})

test.each([
  ['SQLITE_BUSY', 'P1008', 'database is locked', 'aborted', true],
  ['SQLITE_ERROR', 'P2021', 'no such table: main.rides', 'not_migrated', true],
  ['SQLITE_ERROR', 'P2010', 'near "selec": syntax error', 'refused', true],
  ['SQLITE_FULL', 'P2010', 'database or disk is full', 'unavailable', false],
] as const)('SQLite: %s, %s', (originalCode, code, originalMessage, failure, answered) => {
  const error = prismas(code, { originalCode, originalMessage, kind: 'some' })
  expect(sqlite.failureOf(error)).toBe(failure)
  expect(sqlite.hasAnswered(error)).toBe(answered)
})

test('a transaction that had no time left has answered nothing', () => {
  const late = Object.assign(new Error('Transaction API error'), { code: 'P2028', meta: {} })
  for (const { failureOf, hasAnswered } of [mysql, sqlite]) {
    expect(failureOf(late)).toBe('unavailable')
    expect(hasAnswered(late)).toBe(false)
  }
})

test('a savepoint that is gone', () => {
  expect(SAVEPOINT.isGone(adapters(ofMysql(1305, '42000')))).toBe(true)
  const originalMessage = 'no such savepoint: prisma_sp_0'
  expect(SAVEPOINT.isGone(adapters({ originalCode: 'SQLITE_ERROR', originalMessage }))).toBe(true)
  expect(SAVEPOINT.isGone(adapters(ofMysql(1064, '42000')))).toBe(false)
})

/** Goal: a data source that Pawl has no dialect for is refused at the start, with a sentence that says what to do. */
import { expect, test } from 'vitest'
import { type DataSource } from 'typeorm'
import { typeormStore } from '../../../src/databases/typeorm.ts'

test.each(['mysql', 'mariadb', 'better-sqlite3'])('typeormStore: %s', (type) => {
  const dataSource = { options: { type } } as DataSource
  expect(() => typeormStore(dataSource)).toThrow(
    expect.objectContaining({
      code: 'config_invalid',
      message: expect.stringContaining('postgres or cockroachdb') as string,
    }),
  )
})

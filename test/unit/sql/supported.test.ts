/** Goal: a data source that Pawl has no dialect for is refused at the start, with a sentence that says what to do. */
import { expect, test } from 'vitest'
import { type DataSource } from 'typeorm'
import { mikroOrmStore } from '../../../src/databases/mikro-orm.ts'
import { prismaStore } from '../../../src/databases/prisma.ts'
import { typeormStore } from '../../../src/databases/typeorm.ts'

test.each(['mssql', 'oracle', 'mongodb'])('typeormStore: %s', (type) => {
  const dataSource = { options: { type } } as DataSource
  expect(() => typeormStore(dataSource)).toThrow(
    expect.objectContaining({
      code: 'config_invalid',
      message: expect.stringContaining('postgres or cockroachdb or mysql') as string,
    }),
  )
})

test.each(['sqlserver', 'mongodb'])('prismaStore: %s', (_activeProvider) => {
  expect(() => prismaStore({ _activeProvider } as never)).toThrow(
    expect.objectContaining({
      code: 'config_invalid',
      message: expect.stringContaining('mysql or sqlite') as string,
    }),
  )
})

test.each([
  ['MsSqlPlatform', 'bit'],
  ['OraclePlatform', 'boolean'],
])('mikroOrmStore: %s', (name, boolean) => {
  const platform = {
    supportsNativeEnums: () => false,
    getBooleanTypeDeclarationSQL: () => boolean,
    constructor: { name },
  }
  const orm = { em: { getPlatform: () => platform } }
  expect(() => mikroOrmStore(orm as never)).toThrow(
    expect.objectContaining({
      code: 'config_invalid',
      message: expect.stringContaining(`"${name}"; expected postgres or mysql or sqlite`) as string,
    }),
  )
})

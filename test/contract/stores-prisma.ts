/** `pawl/prisma` under the contract suite. */
import { PrismaBetterSqlite3 } from '@prisma/adapter-better-sqlite3'
import { PrismaMariaDb } from '@prisma/adapter-mariadb'
import { PrismaPg } from '@prisma/adapter-pg'
import { prismaStore } from '../../src/databases/prisma.ts'
import { generatePrisma } from '../support/prisma.ts'
import type { Engine } from './engines.ts'
import { freshTable, inWordsOfSuite, opened, type SqlStoreUnderTest } from './store-under-test.ts'

const LEVELS = {
  'read committed': 'ReadCommitted',
  'repeatable read': 'RepeatableRead',
  serializable: 'Serializable',
}

const PROVIDERS = { postgres: 'postgresql', mysql: 'mysql', sqlite: 'sqlite' } as const

function adapterOn({ name, at }: Engine): object {
  switch (name) {
    case 'postgres':
      return new PrismaPg({ connectionString: at })
    case 'mysql':
      return new PrismaMariaDb(at)
    case 'sqlite':
      return new PrismaBetterSqlite3({ url: at })
  }
}

export async function openPrisma(engine: Engine): Promise<SqlStoreUnderTest> {
  const { PrismaClient, remove } = generatePrisma(PROVIDERS[engine.name])
  const prisma = new PrismaClient({ adapter: adapterOn(engine) })
  const table = freshTable()
  const store = inWordsOfSuite(prismaStore(prisma, { table }), {
    isolation: (level) => LEVELS[level],
    queries: (tx) => ({
      query: async (asked, bound = []) => {
        const { text, values } = engine.positional(asked, bound)
        try {
          await tx.$executeRawUnsafe(text, ...values)
        } catch (error) {
          throw Object.assign(error as Error, codeOf(error))
        }
        return { rows: [] }
      },
    }),
  })
  const end = async (): Promise<void> => {
    await prisma.$disconnect()
    remove()
    await engine.close()
  }
  return await opened({ table, store, sql: engine.sql, words: engine.words, end })
}

/** The database's own, inside Prisma's. */
function codeOf(error: unknown): { code?: string } {
  const { meta } = error as {
    meta?: { driverAdapterError?: { cause?: { originalCode?: string } } }
  }
  const code = meta?.driverAdapterError?.cause?.originalCode
  return code === undefined ? {} : { code }
}

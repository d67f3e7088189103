/**
 * Prisma, on PostgreSQL: the process dies in the middle of a stage, the retry runs it once.
 *
 * prints:
 * killed in the middle of a stage: no answer
 * retry: 201 {"to":"Oslo"}
 * once more: 201 {"to":"Oslo"} (replayed)
 * rides 1
 */
import { PrismaPg } from '@prisma/adapter-pg'
import express from 'express'
import { createIdempotency } from 'pawl'
import { idempotent } from 'pawl/express'
import { prismaStore } from 'pawl/prisma'
import { generatePrisma } from '../test/support/prisma.ts'
import { surviveKill } from './killed.ts'

await surviveKill(import.meta.url, 'postgres', async ({ at, pause }) => {
  const { PrismaClient, remove } = generatePrisma() // Yours comes from `prisma generate`.
  process.once('exit', remove)
  const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: at }) })
  await prisma.$executeRawUnsafe('create table if not exists rides (destination text)')
  const store = prismaStore(prisma)
  await store.migrate()
  const idempotency = createIdempotency({ store, lease: '1s' })

  const app = express().use(express.json())
  app.post(
    '/rides',
    idempotent(idempotency, { operation: 'create-ride', scope: 'public' }, async (req, run) => {
      const { to } = req.body as { to: string }
      const ride = await run.stage('ride_created', async (tx) => {
        await tx.$executeRawUnsafe('insert into rides (destination) values ($1)', to)
        await pause()
        return { to }
      })
      return { status: 201, body: ride }
    }),
  )
  app.get('/rides', async (_, res) => {
    const rides = await prisma.$queryRawUnsafe('select * from rides')
    res.send(String((rides as unknown[]).length))
  })
  return app
})

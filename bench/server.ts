/** The rides API of the HTTP comparison, in a process of its own: prints its port, ends with its parent. */
import pg from 'pg'
import { portOf, ridesApi } from './workloads.ts'

const pool = new pg.Pool({
  connectionString: process.env['DATABASE_URL'],
  max: Number(process.env['BENCH_POOL']),
})
const server = await ridesApi(pool)
process.stdout.write(`${String(portOf(server))}\n`)
process.on('disconnect', () => process.exit())

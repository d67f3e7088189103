/**
 * A shop's process, for tests that kill it: one request through three stages, in the switch-loop style; it kills itself
 * inside the stage, or behind the commit, that it is told. Arguments: url, table, key, where (`in:cart`, `after:cart`).
 */
import { DataSource, type EntityManager } from 'typeorm'
import { IdempotencyKeyService } from '../../src/medusa/index.ts'
import { ownEntity } from './host.ts'
import * as typeorm from 'typeorm'

const [url = '', table = '', header = '', where = ''] = process.argv.slice(2)
const entity = ownEntity(typeorm, table)
const dataSource = new DataSource({ type: 'postgres', url, entities: [entity] })
await dataSource.initialize()

class Service extends IdempotencyKeyService {
  static override options = { lease: '400ms' } as const
}
const service = new Service({
  manager: dataSource.manager,
  idempotencyKeyRepository: dataSource.getRepository(entity),
})

function die(at: string): void {
  if (at === where) process.kill(process.pid, 'SIGKILL')
}

let key = await dataSource.transaction((tm) =>
  service.withTransaction(tm).initializeRequest(header, 'POST', {}, '/'),
)
const stage = async (name: string, next: string | undefined): Promise<void> => {
  key = await dataSource.transaction((tm) =>
    service.withTransaction(tm).workStage(key.idempotency_key, async (manager: EntityManager) => {
      await manager.query(`insert into ${table}_effect values ($1)`, [`${header}/${name}`])
      die(`in:${name}`)
      return next === undefined
        ? { response_code: 200, response_body: { order: header } }
        : { recovery_point: next }
    }),
  )
  die(`after:${name}`)
}
const STAGES: Readonly<Record<string, readonly [string, string | undefined]>> = {
  started: ['cart', 'payment'],
  payment: ['payment', 'order'],
  order: ['order', undefined],
}
for (let at = STAGES[key.recovery_point]; at !== undefined; at = STAGES[key.recovery_point]) {
  await stage(...at)
}
console.log(JSON.stringify(key.response_body))
await dataSource.destroy()

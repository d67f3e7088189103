/** What of a server's settings makes it forget. */
import type { StoreProblem } from '../core/store.ts'
import type { Redis } from './redis-clients.ts'
import { textOf } from './redis-record.ts'

/** `INFO` is allowed where `CONFIG` is not: managed servers refuse that. */
export async function problemsOf(redis: Redis): Promise<readonly StoreProblem[]> {
  const [memory, persistence] = await Promise.all([
    redis.onPrimaries(['INFO', 'memory']),
    redis.onPrimaries(['INFO', 'persistence']),
  ])
  const policies = valuesOf(memory, 'maxmemory_policy').filter((one) => one !== 'noeviction')
  const problems: StoreProblem[] = []
  if (policies[0] !== undefined) {
    problems.push({
      code: 'evicts',
      message:
        `maxmemory-policy is ${policies[0]}: when memory is full, Redis deletes outcomes, and their retries run ` +
        `again. Set it to noeviction, or use a Redis of its own.`,
    })
  }
  if (valuesOf(persistence, 'aof_enabled').includes('0')) {
    problems.push({
      code: 'not_durable',
      message:
        'appendonly is off: what was answered since the last snapshot is lost with the process. Set appendonly yes.',
    })
  }
  return problems
}

function valuesOf(answers: readonly unknown[], name: string): readonly string[] {
  return answers.flatMap((answer) =>
    [...textOf(answer).matchAll(new RegExp(`^${name}:(\\S+)`, 'gm'))].map(
      ([, value]) => value ?? '',
    ),
  )
}

/**
 * Registered operations: what a completer makes of abandoned records, what versions do to the names of steps, what a
 * resolver and an operator decide. On the store in memory, whose clock the test moves; test/conformance/completion.test.ts
 * does it with killed processes on databases.
 */
import { describe, expect, test } from 'vitest'
import { createOperator } from '../../src/admin/index.ts'
import {
  createIdempotency,
  type Hold,
  type OperationDefinition,
  type PawlEvent,
  type Resolution,
  type RunResult,
  StoreUnavailableError,
} from '../../src/index.ts'
import { memoryStore } from '../../src/memory/index.ts'
import { createCompleter, type CompleterOptions } from '../../src/workers/index.ts'

interface Input {
  readonly to: string
}
type Definition = OperationDefinition<Input, undefined, never>

const ASKED = { scope: 'u1', key: 'k1', input: { to: 'Oslo' } } as const
const LATER = '10m'
const NOW = { backoff: { first: 10, max: 10 } } as const

/** One database; each `process` is another process of it, with the operation as it was deployed there. */
function world() {
  const store = memoryStore()
  const process = (definition: Definition, options: CompleterOptions = {}) => {
    const events: PawlEvent[] = []
    const idempotency = createIdempotency({ store, onEvent: (event) => events.push(event) })
    const ride = idempotency.operation('book-ride', definition)
    const completer = createCompleter(idempotency, { ...NOW, ...options })
    return {
      idempotency,
      ride,
      events,
      operator: createOperator(idempotency),
      /** The completer's turn, when all that is put off is due. */
      complete: async () => {
        store.advance(LATER)
        return await completer.runOnce()
      },
      seen: (type: PawlEvent['type']) => events.filter((event) => event.type === type),
    }
  }
  return { store, process }
}

const bodyOf = (result: RunResult): string =>
  result.kind === 'finished' ? Buffer.from(result.outcome.body ?? []).toString() : result.kind

const broken = () => Promise.reject(new Error('broken'))

describe('47 · a completer', () => {
  test('finishes what its client began, behind what was committed, with the first input', async () => {
    const { process } = world()
    const log: string[] = []
    const handler =
      (fails: boolean): Definition['handler'] =>
      async (input, run) => {
        await run.stage('created', () => void log.push(`created ${input.to}`))
        if (fails) throw new Error('broken')
        return { body: `${input.to} in attempt ${String(run.attempt)}` }
      }
    const first = process({ handler: handler(true) })
    await expect(first.ride.run(ASKED)).rejects.toThrow('broken')
    const second = process({ handler: handler(false) })
    expect(await second.complete()).toMatchObject({ finished: 1, put_off: 0 })
    expect(log).toEqual(['created Oslo'])
    const late = await first.ride.run(ASKED)
    expect(late).toMatchObject({ kind: 'finished', replayed: true })
    expect(bodyOf(late)).toBe('Oslo in attempt 2')
  })

  test('leaves alone what is not due, what is done, and what is not registered here', async () => {
    const { store, process } = world()
    const { ride, idempotency } = process({
      handler: ({ to }) => (to === 'Hamar' ? broken() : { body: to }),
    })
    await expect(ride.run({ ...ASKED, input: { to: 'Hamar' } })).rejects.toThrow('broken')
    const completer = createCompleter(process({ handler: broken }).idempotency, NOW)
    const nothing = { finished: 0, passed_by: 0, unknown: 0, put_off: 0, failed: 0 }
    expect(await completer.runOnce()).toEqual(nothing)
    await ride.run({ ...ASKED, key: 'k2' })
    const unregistered = { ...ASKED, operation: 'other', key: 'k3' }
    await expect(idempotency.run(unregistered, broken)).rejects.toThrow('broken')
    store.advance('31s')
    expect(await completer.runOnce()).toEqual({ ...nothing, put_off: 1 })
  })

  test('passes by what somebody works on, and that counts as no attempt', async () => {
    const { store, process } = world()
    let free = (): void => undefined
    const held = new Promise<void>((resolve) => {
      free = resolve
    })
    const { ride, idempotency } = process({
      handler: async (_, run) => {
        await held
        return { body: String(run.attempt) }
      },
      maxAttempts: 1,
    })
    const running = ride.run(ASKED)
    const { leases } = idempotency.engine
    await expect.poll(() => leases.held.length).toBe(1)
    const [hold] = leases.held.map((leased) => leased.hold)
    const completer = createCompleter(idempotency, NOW)
    for (let turn = 0; turn < 3; turn++) {
      store.advance('2m')
      await store.heartbeat([hold as Hold], 60_000)
      expect(await completer.runOnce()).toMatchObject({ passed_by: 1, failed: 0 })
    }
    free()
    expect(bodyOf(await running)).toBe('1')
  })

  test('is no client: what it finds finished, held or unknown is neither a replay nor a refusal', async () => {
    const { store, process } = world()
    const { ride, complete, seen } = process({
      handler: async ({ to }, run) => {
        await run.call('charge', () => Promise.reject(new Error('timed out')), {
          repeatable: false,
          classify: () => 'unknown',
        })
        return { body: to }
      },
    })
    await expect(ride.run(ASKED)).rejects.toMatchObject({ code: 'outcome_unknown' })
    expect(await complete()).toMatchObject({ unknown: 1 })
    const other = process({ handler: ({ to }) => ({ body: to }) })
    const request = { ...ASKED, key: 'k2' }
    const { backlog } = store
    const due = backlog?.due.bind(backlog)
    Object.assign(backlog as object, {
      due: async (...asked: Parameters<NonNullable<typeof due>>) => {
        const answer = await due?.(...asked)
        // Seen as abandoned, it is finished by its client before the completer's claim.
        for (const { record } of answer?.records ?? [])
          if (record.key === 'k2') await other.ride.run(request)
        return answer
      },
    })
    await expect(process({ handler: broken }).ride.run(request)).rejects.toThrow('broken')
    expect(await complete()).toMatchObject({ passed_by: 1 })
    expect([seen('refused'), seen('replayed')]).toEqual([[], []])
    await ride.run(ASKED)
    await ride.run(request)
    expect([seen('refused'), seen('replayed')]).toMatchObject([[{}], [{}]])
  })

  test('tries again with growing pauses, stops after maxAttempts, and everybody is told the same', async () => {
    const { store, process } = world()
    const { ride, complete, operator, seen } = process({ handler: broken, maxAttempts: 3 })
    await expect(ride.run(ASKED)).rejects.toThrow('broken')
    expect(await complete()).toMatchObject({ put_off: 1, failed: 0 })
    expect(await complete()).toMatchObject({ put_off: 1, failed: 0 })
    expect(await complete()).toMatchObject({ put_off: 0, failed: 1 })
    expect(seen('failed')).toMatchObject([{ why: 'attempts', operation: 'book-ride' }])
    const result = await ride.run(ASKED)
    expect(result.kind).toBe('failed')
    expect(await complete()).toMatchObject({ put_off: 0, failed: 0, finished: 0 })
    expect(await store.reap(100, 0)).toBe(0)
    const { id } = result
    expect(await operator.find(id)).toMatchObject({ state: 'failed', operation: 'book-ride' })
  })

  test('goes on after an operator said so, as often as at first', async () => {
    const { process } = world()
    let works = false
    const { ride, complete, operator } = process({
      handler: () => (works ? { body: 'ok' } : broken()),
      maxAttempts: 1,
    })
    await expect(ride.run(ASKED)).rejects.toThrow('broken')
    await complete()
    const { id } = await ride.run(ASKED)
    works = true
    expect(await operator.retry(id)).toBe('done')
    await expect(operator.retry(id)).rejects.toMatchObject({ code: 'record_state' })
    await expect(operator.retry('ikey_none')).rejects.toMatchObject({ code: 'record_not_found' })
    expect(await complete()).toMatchObject({ finished: 1 })
    expect(bodyOf(await ride.run(ASKED))).toBe('ok')
  })

  test('does not go on for whom the work is not allowed any more', async () => {
    const { process } = world()
    const asked: unknown[] = []
    const { ride, complete, seen } = process({
      handler: broken,
      authorize: (about) => {
        asked.push([about.principal, about.scope, about.input])
        return false
      },
    })
    await expect(ride.run({ ...ASKED, principal: 'user-7' })).rejects.toThrow('broken')
    expect(await complete()).toMatchObject({ failed: 1 })
    expect(asked).toEqual([['user-7', 'u1', { to: 'Oslo' }]])
    expect(seen('failed')).toMatchObject([{ why: 'not_authorized' }])
  })

  test('an error response that is not stored counts as an attempt; one that is, as the outcome', async () => {
    const { process } = world()
    const failing = process({ handler: () => ({ status: 503 }), maxAttempts: 2 })
    expect(await failing.ride.run(ASKED)).toMatchObject({ kind: 'finished', stored: false })
    expect(await failing.complete()).toMatchObject({ put_off: 1 })
    const refusing = process({ handler: () => ({ status: 402 }) })
    expect(await refusing.complete()).toMatchObject({ finished: 1 })
    expect(await failing.ride.run(ASKED)).toMatchObject({
      replayed: true,
      outcome: { status: 402 },
    })
  })

  test('does not take the input of a finished request to the one that used its key again', async () => {
    const { store, process } = world()
    const inputs: string[] = []
    const handler: Definition['handler'] = ({ to }) => {
      inputs.push(to)
      return to === 'Oslo' ? { body: to } : broken()
    }
    const { ride, complete, idempotency } = process({ handler, retention: '1m' })
    await ride.run(ASKED)
    store.advance('2m')
    await expect(ride.run({ ...ASKED, input: { to: 'Bergen' } })).rejects.toThrow('broken')
    await complete()
    expect(inputs).toEqual(['Oslo', 'Bergen', 'Bergen'])
    await idempotency.close()
  })

  test('counts the attempts that begin: neither those that no store answered, nor those that were not allowed', async () => {
    const { store, process } = world()
    let isDown = true
    let authorizes = false
    const takeOver = store.takeOver.bind(store)
    const { ride, complete } = process({
      handler: broken,
      maxAttempts: 2,
      authorize: () => (authorizes ? true : broken()),
    })
    await expect(ride.run(ASKED)).rejects.toThrow('broken')
    expect(await complete()).toMatchObject({ put_off: 1 })
    authorizes = true
    store.takeOver = (input) =>
      isDown ? Promise.reject(new StoreUnavailableError('testing')) : takeOver(input)
    for (let turn = 0; turn < 3; turn++)
      expect(await complete()).toMatchObject({ put_off: 0, failed: 0 })
    isDown = false
    expect(await complete()).toMatchObject({ put_off: 1 })
    expect(await complete()).toMatchObject({ failed: 1 })
  })

  test('counts an attempt that killed its process', async () => {
    const { store, process } = world()
    const dying = process({ handler: () => new Promise(() => undefined), maxAttempts: 2 })
    void dying.ride.run(ASKED)
    const { leases } = dying.idempotency.engine
    await expect.poll(() => leases.held.length).toBe(1)
    leases.stop()
    for (let turn = 0; turn < 2; turn++) {
      store.advance(LATER)
      void createCompleter(dying.idempotency, NOW).runOnce()
      await expect.poll(() => store.records()[0]?.attempt).toBe(turn + 2)
      await expect.poll(() => leases.held.length).toBe(1)
      leases.stop()
    }
    expect(await dying.complete()).toMatchObject({ failed: 1 })
  })

  test('is not stopped by a handler that hangs, and neither is stop()', async () => {
    const { store, process } = world()
    const { ride, idempotency } = process({
      handler: ({ to }) => (to === 'Oslo' ? new Promise(() => undefined) : { body: to }),
    })
    void ride.run(ASKED)
    const waits = ride.run({ ...ASKED, key: 'k2', input: { to: 'Bergen' } })
    await waits
    idempotency.engine.leases.stop()
    store.advance(LATER)
    const completer = createCompleter(idempotency, NOW)
    completer.start()
    await expect.poll(() => store.records()[0]?.attempt).toBe(2)
    await completer.stop({ wait: 10 })
    await idempotency.close({ wait: 0 })
  })

  test('whose store gives no answer says so, and ends what it has begun before the pass is over', async () => {
    const { store, process } = world()
    const { ride, idempotency, seen } = process({ handler: broken })
    await expect(ride.run(ASKED)).rejects.toThrow('broken')
    store.advance(LATER)
    const { backlog } = store
    if (backlog === undefined) return expect.fail('the store in memory has a backlog')
    const due = backlog.due.bind(backlog)
    let looks = 0
    Object.assign(backlog, {
      due: (...asked: Parameters<typeof due>) =>
        ++looks === 1 ? due(...asked) : Promise.reject(new StoreUnavailableError('testing')),
    })
    const completer = createCompleter(idempotency, { ...NOW, concurrency: 1 })
    await expect(completer.runOnce()).rejects.toMatchObject({ code: 'store_unavailable' })
    expect(seen('completer_failed')).toHaveLength(1)
  })

  test('one of many works on a record', async () => {
    const { store, process } = world()
    let ran = 0
    await expect(process({ handler: broken }).ride.run(ASKED)).rejects.toThrow('broken')
    const handler: Definition['handler'] = async (_, run) => {
      ran++
      await run.stage('created', () => undefined)
      return { body: 'ok' }
    }
    const completers = Array.from({ length: 8 }, () =>
      createCompleter(process({ handler }).idempotency, NOW),
    )
    store.advance(LATER)
    const reports = await Promise.all(completers.map((completer) => completer.runOnce()))
    expect(reports.reduce((sum, { finished }) => sum + finished, 0)).toBe(1)
    expect(ran).toBe(1)
  })

  test('works in the background until it is stopped', async () => {
    const { store, process } = world()
    let works = false
    const { ride, idempotency } = process({ handler: () => (works ? { body: 'ok' } : broken()) })
    await expect(ride.run(ASKED)).rejects.toThrow('broken')
    works = true
    store.advance(LATER)
    const completer = createCompleter(idempotency, { every: 10 })
    completer.start()
    completer.start()
    await expect.poll(() => store.records()[0]?.state).toBe('finished')
    await completer.stop()
    await completer.stop()
  })
})

describe('a record of another version', () => {
  const started = async (version: string, handler: Definition['handler']) => {
    const { store, process } = world()
    const old = process({ version, handler })
    await expect(old.ride.run(ASKED)).rejects.toThrow('broken')
    const [id = ''] = store.records().map((record) => record.id)
    return { process, old: { ...old, store, id } }
  }

  test('keeps the names of its steps and its downstream keys, whatever they are called now', async () => {
    const keys: string[] = []
    const { process, old } = await started('1', async (_, run) => {
      await run.stage('ride', () => 'r1')
      await run.call('charge', ({ idempotencyKey }) => {
        keys.push(idempotencyKey)
        throw new Error('broken')
      })
    })
    const renamed = { '1': { ride: 'ride_created', charge: 'card_charged' } }
    const next = process({
      version: '2',
      renamed,
      handler: async (_, run) => {
        const ride = await run.stage('ride_created', () => 'again')
        expect(run.recoveryPoint).toBe('ride_created')
        await run.call('card_charged', ({ idempotencyKey }) => void keys.push(idempotencyKey))
        expect(run.recoveryPoint).toBe('card_charged')
        return { body: `${ride} ${String(run.version)}` }
      },
    })
    const result = await next.ride.run(ASKED)
    expect(bodyOf(result)).toBe('r1 1')
    expect(new Set(keys).size).toBe(1)
    expect(await old.ride.run(ASKED)).toMatchObject({ replayed: true })
  })

  test('is gone on with by old and new processes in turns', async () => {
    const { process, old } = await started('1', async (_, run) => {
      const ride = await run.stage('ride', () => 'r1')
      const charge = await run.stage('charge', () => broken() as never)
      return { body: `${ride} ${String(charge)}` }
    })
    const next = process({
      version: '2',
      renamed: { '1': { ride: 'ride_created', charge: 'card_charged' } },
      handler: async (_, run) => {
        await run.stage('ride_created', () => 'again')
        await run.stage('card_charged', () => 'c1')
        throw new Error('broken behind it')
      },
    })
    await expect(next.ride.run(ASKED)).rejects.toThrow('broken behind it')
    expect(bodyOf(await old.ride.run(ASKED))).toBe('r1 c1')
  })

  test('is left to the handler that can, where the new one cannot', async () => {
    const { process } = await started('1', async (_, run) => {
      await run.stage('a', () => 1)
      await run.stage('b', () => broken() as never)
    })
    const next = process({
      version: '2',
      handler: async (_, run) => {
        await run.stage('c', () => 1)
        return { body: 'new way' }
      },
      drain: {
        '1': async (_, run) => {
          await run.stage('a', () => 2)
          await run.stage('b', () => 2)
          return { body: 'old way' }
        },
      },
    })
    expect(await next.complete()).toMatchObject({ finished: 1 })
    expect(bodyOf(await next.ride.run(ASKED))).toBe('old way')
    expect(bodyOf(await next.ride.run({ ...ASKED, key: 'k2' }))).toBe('new way')
  })

  test('that nobody here knows is left to who knows it: told to come back, not run, and stopped at last', async () => {
    const { process, old } = await started('2', broken)
    let ran = 0
    const handler: Definition['handler'] = () => ({ body: String(++ran) })
    const other = process({ version: '1', handler, maxAttempts: 2 })
    await expect(other.ride.run(ASKED)).rejects.toMatchObject({
      code: 'version_unknown',
      retryable: true,
      safeNewKey: false,
    })
    expect(await other.complete()).toMatchObject({ put_off: 1 })
    expect(await old.store.find(old.id)).toMatchObject({ state: 'running', attempt: 1 })
    await other.complete()
    expect(await other.complete()).toMatchObject({ failed: 1 })
    expect(ran).toBe(0)
  })

  test('whose name for a step is used for another one now is refused, not given its result', async () => {
    const { process } = await started('1', async (_, run) => {
      await run.stage('charge', () => 'of version 1')
      throw new Error('broken')
    })
    const next = process({
      version: '2',
      renamed: { '1': { charge: 'card_charged' } },
      handler: async (_, run) => ({ body: await run.stage('charge', () => 'another thing') }),
    })
    await expect(next.ride.run(ASKED)).rejects.toMatchObject({ code: 'step_misused' })
  })

  test('with a recovery point that nobody knows is told so, never guessed, and stops when the attempts are used up', async () => {
    const { process } = await started('1', async (_, run) => {
      await run.stage('removed', () => 1)
      throw new Error('broken')
    })
    let ran = 0
    const next = process({
      version: '2',
      maxAttempts: 2,
      renamed: { '1': {} },
      handler: async (_, run) => {
        await run.stage('added', () => void ran++)
        return { body: 'ok' }
      },
    })
    await expect(next.ride.run(ASKED)).rejects.toMatchObject({ code: 'recovery_point_unknown' })
    expect(await next.complete()).toMatchObject({ put_off: 1 })
    expect(await next.complete()).toMatchObject({ failed: 1 })
    expect((await next.ride.run(ASKED)).kind).toBe('failed')
    expect(ran).toBe(0)
  })

  test('is told apart by its handler: a stage that was added comes for new records alone', async () => {
    const { process } = await started('1', async (_, run) => {
      await run.stage('a', () => 1)
      await run.stage('z', () => 1)
      throw new Error('broken')
    })
    const stages: string[] = []
    const next = process({
      version: '2',
      renamed: { '1': {} },
      handler: async (_, run) => {
        await run.stage('a', () => void stages.push('a'))
        if (run.version !== '1') await run.stage('m', () => void stages.push('m'))
        await run.stage('z', () => void stages.push('z'))
        return { body: 'ok' }
      },
    })
    expect(bodyOf(await next.ride.run(ASKED))).toBe('ok')
    expect(stages).toEqual([])
    await next.ride.run({ ...ASKED, key: 'k2' })
    expect(stages).toEqual(['a', 'm', 'z'])
  })
})

describe('38 · a call whose answer was not learned', () => {
  const stopped = async (resolver?: () => Promise<Resolution> | Resolution) => {
    const { process } = world()
    const sent: string[] = []
    let loses = true
    const definition: Definition = {
      handler: async (_, run) => {
        const charge = await run.call(
          'charged',
          ({ idempotencyKey }) => {
            sent.push(idempotencyKey)
            if (loses) throw new Error('connection lost')
            return 'sent anew'
          },
          { repeatable: false },
        )
        return { body: charge }
      },
      ...(resolver === undefined ? {} : { resolvers: { charged: resolver } }),
    }
    const it = process(definition)
    const failure: unknown = await it.ride.run(ASKED).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'outcome_unknown', safeNewKey: false })
    loses = false
    return { ...it, sent, id: (failure as { id: string }).id }
  }

  test('is asked about by the client’s retry: done → its result, without sending it again', async () => {
    const { ride, sent, seen } = await stopped(() => ({
      kind: 'done',
      result: 'as the provider says',
    }))
    expect(bodyOf(await ride.run(ASKED))).toBe('as the provider says')
    expect(sent).toHaveLength(1)
    expect(seen('resolved')).toMatchObject([
      { step: 'charged', resolution: 'done', by: 'resolver' },
    ])
  })

  test('is asked about by the completer: never happened → sent anew', async () => {
    const { ride, sent, complete } = await stopped(() => ({ kind: 'never' }))
    expect(await complete()).toMatchObject({ finished: 1 })
    expect(sent).toHaveLength(2)
    expect(bodyOf(await ride.run(ASKED))).toBe('sent anew')
  })

  test('stays unknown while its resolver does not know, fails, or is not there; that uses up no attempt', async () => {
    for (const resolver of [() => ({ kind: 'unknown' }) as const, broken, undefined]) {
      const { ride, sent, complete } = await stopped(resolver)
      for (let turn = 0; turn < 12; turn++)
        expect(await complete()).toMatchObject({ unknown: 1, failed: 0 })
      expect((await ride.run(ASKED)).kind).toBe('unknown')
      expect(sent).toHaveLength(1)
    }
  })

  test('is decided by an operator', async () => {
    const { ride, complete, operator, id, seen } = await stopped()
    await expect(operator.resolve(id, { kind: 'done', result: 1n })).rejects.toMatchObject({
      code: 'result_not_json',
    })
    expect(await operator.resolve(id, { kind: 'done', result: 'by hand' })).toBe('done')
    expect(seen('resolved')).toMatchObject([{ by: 'operator', resolution: 'done' }])
    await expect(operator.resolve(id, { kind: 'never' })).rejects.toMatchObject({
      code: 'record_state',
    })
    expect(await complete()).toMatchObject({ finished: 1 })
    expect(bodyOf(await ride.run(ASKED))).toBe('by hand')
  })
})

describe('an operation that cannot be registered says why', () => {
  const handler = broken
  test.each([
    ['handler', { handler: undefined }],
    ['authorise', { handler, authorise: () => false }],
    ['drain', { handler, drain: null }],
    ['renamed', { handler, version: '2', renamed: { '1': {} }, drain: { '1': handler } }],
    ['version', { handler, version: 'a b' }],
    ['renamed', { handler, version: '2', renamed: { '2': { a: 'b' } } }],
    ['renamed', { handler, version: '2', renamed: { '1': { a: 'c', b: 'c' } } }],
    ['renamed', { handler, version: '2', renamed: { '1': { a: 'no name' } } }],
    ['drain', { handler, drain: { '1': handler } }],
    ['drain', { handler, version: '2', drain: { '1': 'handler' } }],
    ['resolvers', { handler, resolvers: { charged: true } }],
    ['authorize', { handler, authorize: 'everybody' }],
    ['grace', { handler, grace: '1ms' }],
    ['grace', { handler, grace: '2s' }],
    ['maxAttempts', { handler, maxAttempts: 0 }],
    ['retention', { handler, retention: '1ms' }],
  ])('%s', (option, definition) => {
    const idempotency = createIdempotency({ store: memoryStore() })
    expect(() => idempotency.operation('a', definition as never)).toThrow(
      new RegExp(`config_invalid: .*${option}`),
    )
  })

  test('twice, with an input or principal that cannot be stored, or a completer without operations', async () => {
    const idempotency = createIdempotency({ store: memoryStore() })
    expect(() => createCompleter(idempotency)).toThrow(/no operation is registered/)
    const operation = idempotency.operation('a', { handler: () => ({}) })
    expect(() => idempotency.operation('a', { handler: () => ({}) })).toThrow(/registered already/)
    const asked = { scope: 'u1', key: 'k' }
    const run = (request: object) => operation.run({ ...asked, ...request } as never)
    await expect(run({ input: 1n })).rejects.toThrow(
      /config_invalid: input of operation "a" is not JSON/,
    )
    await expect(run({})).rejects.toMatchObject({ code: 'config_invalid' })
    await expect(run({ input: 'x'.repeat(2 ** 21) })).rejects.toThrow(/reference to what is large/)
    await expect(run({ input: 1, principal: '' })).rejects.toMatchObject({ code: 'config_invalid' })
    const other = createIdempotency({ store: memoryStore() })
    expect(() => createCompleter(other, { operations: [operation as never] })).toThrow(
      /not registered with this idempotency/,
    )
  })
})

/**
 * Goal: a response that is held back is neither lost nor doubled. Method: `ResponseCapture` on a plain node server; the
 * test decides when the outcome is durable.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { Readable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { ResponseCapture } from '../../../src/http/capture.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close().closeAllConnections()
})

async function serve(
  handler: (res: ServerResponse, req: IncomingMessage) => unknown,
): Promise<number> {
  const server = createServer((req, res) => void handler(res, req))
  servers.push(server)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return (server.address() as AddressInfo).port
}

const get = async (port: number): Promise<Response> => await fetch(`http://127.0.0.1:${port}`)

test('nothing leaves before release, and what leaves is what was recorded', async () => {
  let began: (capture: ResponseCapture) => void
  const captured = new Promise<ResponseCapture>((resolve) => (began = resolve))
  const port = await serve((res) => {
    const capture = new ResponseCapture(res, 1_000)
    res.setHeader('x-a', '1')
    res.writeHead(201, 'Made', { 'x-b': '2' })
    res.write('a')
    res.end('b')
    began(capture)
  })
  const answer = get(port)
  const capture = await captured
  const early = await Promise.race([answer, sleep(50)])
  expect(early).toBeUndefined()
  const draft = await capture.draft
  expect(draft).toMatchObject({ status: 201, keepBody: true })
  expect(draft.headers).toEqual([
    ['x-a', '1'],
    ['x-b', '2'],
  ])
  expect(Buffer.from(draft.body as Uint8Array).toString()).toBe('ab')
  capture.release()
  const response = await answer
  expect([response.status, response.statusText, await response.text()]).toEqual([201, 'Made', 'ab'])
})

test('wrappers put around res before us and behind us both see the calls', async () => {
  const calls: string[] = []
  const port = await serve(async (res) => {
    const wrap = (who: string): void => {
      const end = res.end.bind(res) as (...args: unknown[]) => ServerResponse
      res.end = ((...args: unknown[]) => {
        calls.push(who)
        return end(...args)
      }) as typeof res.end
    }
    wrap('before')
    const capture = new ResponseCapture(res, 1_000)
    wrap('behind')
    res.end('x')
    await capture.draft
    expect(calls).toEqual(['behind'])
    capture.release()
  })
  expect(await (await get(port)).text()).toBe('x')
  expect(calls).toEqual(['behind', 'before'])
})

test('a buffer may be used again as soon as it was taken', async () => {
  const port = await serve(async (res) => {
    const capture = new ResponseCapture(res, 1_000)
    const buffer = Buffer.from('aaa')
    await new Promise<void>((taken) => res.write(buffer, () => taken()))
    buffer.fill('b')
    res.end(buffer)
    buffer.fill('c')
    await capture.draft
    capture.release()
  })
  expect(await (await get(port)).text()).toBe('aaabbb')
})

test('over the limit: the body is not kept, writers wait, and everything arrives', async () => {
  let waited = false
  const port = await serve(async (res) => {
    const capture = new ResponseCapture(res, 10)
    expect(res.write('12345')).toBe(true)
    expect(res.write('678901')).toBe(false)
    expect(await capture.draft).toMatchObject({ keepBody: false })
    const drained = once(res, 'drain').then(() => (waited = true))
    await sleep(20)
    expect(waited).toBe(false)
    capture.release()
    await drained
    res.end('end')
  })
  expect(await (await get(port)).text()).toBe('12345678901end')
  expect(waited).toBe(true)
})

test('discard gives the response back untouched', async () => {
  const port = await serve(async (res) => {
    res.setHeader('X-Before', '1')
    const capture = new ResponseCapture(res, 1_000)
    res.statusCode = 201
    res.setHeader('x-inside', '1')
    res.end('inside')
    await capture.draft
    capture.discard()
    expect([res.headersSent, res.writableEnded, res.statusCode]).toEqual([false, false, 200])
    res.end('after')
  })
  const response = await get(port)
  expect([response.status, await response.text()]).toEqual([200, 'after'])
  expect([response.headers.get('x-before'), response.headers.get('x-inside')]).toEqual(['1', null])
})

test('replaceWith sends another response; the handler’s later calls are not heard', async () => {
  const port = await serve(async (res) => {
    const capture = new ResponseCapture(res, 1_000)
    res.writeHead(201, 'Made', { 'x-inside': '1' })
    res.end('inside')
    await capture.draft
    capture.replaceWith({ status: 409, headers: [['x-ours', '1']], body: Buffer.from('ours') })
    res.setHeader('x-late', '1').removeHeader('x-ours')
    res.write('late')
    res.end('later')
  })
  const response = await get(port)
  expect([response.status, response.statusText]).toEqual([409, 'Conflict'])
  expect(await response.text()).toBe('ours')
  expect([response.headers.get('x-ours'), response.headers.get('x-inside')]).toEqual(['1', null])
})

test('a handler that destroys its response has failed', async () => {
  const port = await serve(async (res) => {
    const capture = new ResponseCapture(res, 1_000)
    res.write('half')
    res.destroy(new Error('source broke'))
    await expect(capture.draft).rejects.toThrow('source broke')
    capture.discard()
  })
  await expect(get(port)).rejects.toThrow('fetch failed')
})

describe('40 · the client hangs up', () => {
  async function hangUp(handler: (res: ServerResponse) => Promise<void>): Promise<void> {
    let began: (done: Promise<void>) => void
    const handling = new Promise<{ readonly done: Promise<void> }>((resolve) => {
      began = (done) => resolve({ done })
    })
    const port = await serve((res) => {
      const done = handler(res)
      began(done)
      return done
    })
    const socket = connect(port, '127.0.0.1')
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    const { done } = await handling
    await sleep(30)
    socket.destroy()
    await done
  }

  test('pipes and pipelines that begin before and after it come to their end', async () => {
    await hangUp(async (res) => {
      const capture = new ResponseCapture(res, 1_000)
      const closed = once(res, 'close')
      res.write('a')
      await sleep(80)
      expect([res.destroyed, res.closed]).toEqual([false, false])
      Readable.from(['b', 'c']).pipe(res)
      const draft = await capture.draft
      expect(Buffer.from(draft.body as Uint8Array).toString()).toBe('abc')
      capture.release()
      await closed
      expect(res.destroyed).toBe(true)
    })
    await hangUp(async (res) => {
      const capture = new ResponseCapture(res, 1_000)
      await sleep(80)
      const piped = pipeline(Readable.from(['x', 'y']), res).catch((error: Error) => error)
      expect(Buffer.from((await capture.draft).body as Uint8Array).toString()).toBe('xy')
      capture.release()
      await piped
    })
  })

  test('a response that stands still is settled without its body', async () => {
    await hangUp(async (res) => {
      const capture = new ResponseCapture(res, 1_000, 50)
      res.write('half')
      await sleep(60)
      expect(await capture.draft).toMatchObject({ status: 200, keepBody: false })
      capture.release()
    })
  })

  test('a handler that has not begun is waited for', async () => {
    await hangUp(async (res) => {
      const capture = new ResponseCapture(res, 1_000, 20)
      await sleep(150)
      res.end('whole')
      expect(await capture.draft).toMatchObject({ keepBody: true })
      capture.release()
    })
  })

  test('a stream that goes on afterwards is told', async () => {
    await hangUp(async (res) => {
      const capture = new ResponseCapture(res, 10)
      res.write('0123456789ab')
      await sleep(80)
      const over = finished(res).catch((error: NodeJS.ErrnoException) => error.code)
      capture.release()
      expect(await over).toBe('ERR_STREAM_PREMATURE_CLOSE')
    })
  })
})

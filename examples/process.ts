/** An example that runs itself once more, as the application that will be killed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** A running application. */
export interface Process {
  readonly child: ChildProcess
  readonly port: number
  line(start: string): Promise<string>
}

/** Starts it, and waits until it listens. */
export async function start(url: string, at: string, life: string): Promise<Process> {
  const child = spawn(process.execPath, ['--import', 'tsx', fileURLToPath(url)], {
    env: { ...process.env, PAWL_EXAMPLE_LIFE: life, PAWL_EXAMPLE_AT: at },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  process.once('exit', () => child.kill('SIGKILL'))
  const lines: string[] = []
  const reader = createInterface({ input: child.stdout })
  reader.on('line', (line) => lines.push(line))
  const line = async (begin: string): Promise<string> => {
    for (;;) {
      const found = lines.find((one) => one.startsWith(begin))
      if (found !== undefined) return found
      const gone = once(child, 'exit').then(() =>
        Promise.reject(new Error(`it ended before "${begin}"`)),
      )
      await Promise.race([once(reader, 'line'), gone])
    }
  }
  const port = Number((await line('port ')).slice('port '.length))
  return { child, port, line }
}

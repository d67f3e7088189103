/** The processes of a simulated world: those that die are replaced, some by a newer version, and what happens to them. */
import type { RequestEvent } from '../history.ts'
import type { Version } from './handler.ts'
import { Node, type NodeOptions } from './node.ts'

/** A process that keeps dying costs the simulation more than it shows. */
const DEATHS_MAX = 60

/** How many have workers: two, so that they meet. */
const WORKING = 2

/** The processes. */
export interface Nodes {
  /** Those that take requests. */
  serving(): readonly Node[]
  alive(): readonly Node[]
  /** Faults are over: those that stand still go on, and the deploy is completed. */
  settle(): void
  /** Workers stop: what is going on after that is left over. */
  rest(): void
  /** Requests that nobody knows the end of. */
  open(): readonly RequestEvent[]
}

/** Starts the processes of a world, and what disturbs them. */
export function nodesOf(options: Omit<NodeOptions, 'died'>): Nodes {
  const { mix, random, scheduler, faults } = options
  const places: (Node | undefined)[] = []
  let born = 0
  let deaths = 0
  const versionOf = (): Version =>
    mix.newVersion > 0 && (faults.isOver || random.chance(mix.newVersion)) ? 2 : 1
  const start = (place: number): void => {
    const died = (): void => {
      places[place] = undefined
      deaths++
      const ms = faults.isOver ? 1 : random.scaled(1, mix.leaseMs * 3)
      scheduler.after(ms, undefined, () => start(place))
    }
    const name = `node ${String(++born)}`
    places[place] = new Node({ ...options, died }, name, versionOf(), place < WORKING)
  }
  for (let place = 0; place < mix.nodes; place++) start(place)
  const alive = (): readonly Node[] => places.filter((node) => node !== undefined)
  const serving = (): readonly Node[] => alive().filter(({ isClosing }) => !isClosing)
  const often = (aSecond: number, happen: (node: Node | undefined) => void): void => {
    if (aSecond === 0) return
    const next = (): void => {
      scheduler.after((-Math.log(1 - random.next()) / aSecond) * 1_000, undefined, () => {
        if (faults.isOver || deaths > DEATHS_MAX) return
        const nodes = serving()
        happen(nodes.length === 0 ? undefined : random.pick(nodes))
        next()
      })
    }
    next()
  }
  disturb(options, often)
  return {
    serving,
    alive,
    settle: () => {
      for (const node of alive()) {
        node.wake()
        if (node.version === 1 && mix.newVersion > 0) void node.close(0)
      }
    },
    rest: () => {
      for (const node of alive()) void node.rest()
    },
    open: () => alive().flatMap(({ requests }) => [...requests]),
  }
}

function disturb(
  { mix, random, server, faults }: Omit<NodeOptions, 'died'>,
  often: (aSecond: number, happen: (node: Node | undefined) => void) => void,
): void {
  const { frequencies, leaseMs } = mix
  often(frequencies.crash, (node) => node?.crash())
  often(frequencies.pause, (node) => node?.pause(leaseMs * random.between(1, 3)))
  often(frequencies.jump, (node) => node?.jump(random.between(-600_000, 600_000)))
  often(frequencies.close, (node) => void node?.close(random.scaled(1, leaseMs)))
  often(frequencies.databaseJump, () => {
    faults.tell('database clock jump', 'database', true)
    // Now and then past every retention; but a stored error says nothing of the execution that it is from.
    const isFar = random.chance(0.05) && mix.onError === 'resume'
    server.jump(Math.round(isFar ? 90_000_000 : random.scaled(10, leaseMs * 4)))
  })
}

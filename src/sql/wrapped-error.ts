/** What is inside an error: libraries wrap what their driver threw, each under a name of its own. */

const DEPTH_MAX = 8

/** Where a driver's error is kept: ECMAScript, TypeORM, Sequelize, MikroORM, Prisma. */
const INSIDE = [
  'cause',
  'driverError',
  'original',
  'parent',
  'previous',
  'meta',
  'driverAdapterError',
] as const

/** The error and what it wraps, from the outside in. */
export function* unwrapped(error: unknown): Generator<Readonly<Record<string, unknown>>> {
  let inside = error
  for (let depth = 0; isObject(inside) && depth < DEPTH_MAX; depth++) {
    const wrapper: Readonly<Record<string, unknown>> = inside
    yield wrapper
    const name = INSIDE.find((one) => isObject(wrapper[one]) && wrapper[one] !== wrapper)
    inside = name && wrapper[name]
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

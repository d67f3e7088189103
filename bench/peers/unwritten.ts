/**
 * Peers that were in no registry when this was written, so that nobody could try how they are called: they are
 * installed all the same, and listed with what npm says, or with this.
 */
import type { Peer } from '../peers.ts'

const open: Peer['open'] = () =>
  Promise.reject(new Error('it installs, but how it is called is not written yet'))

const IN_REDIS = {
  keepsIn: 'Redis',
  durability:
    'The record is written to Redis behind COMMIT; a Redis that does not log each change loses records with its ' +
    'process, and the request runs again',
  open,
} as const

export const nestarc: Peer = {
  ...IN_REDIS,
  name: '@nestarc/idempotency, Redis',
  folder: 'nestarc',
  level: 'interceptor of Nest',
}

export const idempot: Peer = {
  ...IN_REDIS,
  name: 'idempot-js, Redis',
  folder: 'idempot',
  level: 'middleware of Express, Fastify or Hono',
}

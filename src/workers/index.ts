/**
 * `pawl/workers`: what works without a client. The completer finishes abandoned requests, the reaper deletes expired
 * records.
 * @module
 */
export { type CompleterOptions, type CompleterReport, createCompleter } from './completer.ts'
export { createReaper, type ReaperOptions, type ReaperReport } from './reaper.ts'
export type { Worker } from './worker.ts'
export type { Completion } from '../core/complete.ts'

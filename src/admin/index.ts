/**
 * `pawl/admin`: what an operator does with records that stopped.
 * @module
 */
export type { PurgeOptions, PurgeReport } from '../core/forget.ts'
export { createOperator, type Operator, type OperatorResult } from './operator.ts'

/** The route's work, in the style of the service's reference: one branch a recovery point, each an atomic stage. */
import type { IdempotencyCallbackResult, IdempotencyKey } from 'pawl/medusa'
import { runIdempotencyStep } from 'pawl/medusa'
import type { EntityManager } from 'typeorm'
import type { ShopContainer } from './container.ts'

/** Completes a cart; returns the key with the response on it. */
export async function completeCart(
  container: ShopContainer,
  idempotencyKey: IdempotencyKey,
  cart: string,
  provider: { readonly isDown: boolean },
): Promise<IdempotencyKey> {
  const manager = container.resolve('manager')
  const stage = (
    work: (manager: EntityManager) => Promise<IdempotencyCallbackResult>,
  ): Promise<void> =>
    runIdempotencyStep(({ manager: inner }) => work(inner), { manager, idempotencyKey, container })

  while (idempotencyKey.recovery_point !== 'finished') {
    switch (idempotencyKey.recovery_point) {
      case 'started':
        await stage(async (tm) => {
          await tm.query('insert into reservation values ($1)', [cart])
          return { recovery_point: 'cart_reserved' }
        })
        break
      case 'cart_reserved':
        await stage(async (tm) => {
          await tm.query('insert into payment values ($1)', [cart])
          if (provider.isDown) throw new Error('the payment provider is down')
          return { recovery_point: 'payment_authorized' }
        })
        break
      case 'payment_authorized':
        await stage(async (tm) => {
          const [order] = await tm.query<{ id: number }[]>(
            'insert into cart_order (cart) values ($1) returning id',
            [cart],
          )
          return { response_code: 201, response_body: { order: order?.id, cart } }
        })
        break
      default:
        await stage(() =>
          Promise.resolve({
            response_code: 500,
            response_body: { message: 'Unknown recovery point' },
          }),
        )
    }
  }
  return idempotencyKey
}

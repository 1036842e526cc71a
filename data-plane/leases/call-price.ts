import { dearestPriceOf } from '@pingtoken/shared/dearest-price';
import type { RateCardVersion } from '@pingtoken/shared/rate-card';
import type { Prepared } from '../forward/prepared-call.js';
import { refuse, type Refusal } from '../http-error.js';
import type { Catalogue } from '../snapshot.js';
import { answerOf, pricedBounds, usageBoundsOf, type ModelLimits } from './usage-bounds.js';

/** The most that a call can cost, by the models that may come to serve it. */
export interface CallPrice {
  readonly currency: string;
  /** Units. @param answerCap tokens that the answer is held to; without it, as many as its caller asks for */
  atMost(answerCap?: number): bigint;
  /** Tokens that the longest answer of any of the models has. */
  readonly longestAnswer: number;
}

/** The dearest of the models that may serve, in the currency of the one that was asked for. */
export function priceOfCall(call: Prepared): CallPrice | Refusal {
  const { catalogue } = call;
  const asked = versionOf(catalogue, call.priceCardVersionId);
  if (asked === undefined) return refuse('price_missing', 'model');
  const { currency } = asked;
  const served: { model: ModelLimits | undefined; version: RateCardVersion }[] = [
    { model: catalogue.models.get(call.model), version: asked },
  ];
  for (const { served: other } of call.attempts) {
    const version = other === undefined ? undefined : versionOf(catalogue, other.priceCardVersionId);
    if (other === undefined || version?.currency !== currency) continue;
    served.push({ model: catalogue.models.get(other.model), version });
  }
  return {
    currency,
    longestAnswer: Math.max(...served.map(({ model }) => answerOf(model))),
    atMost: (answerCap) =>
      served
        .map(({ model, version }) =>
          dearestPriceOf(pricedBounds(usageBoundsOf(call, model, answerCap), version), version),
        )
        .reduce((dearest, price) => (price > dearest ? price : dearest)),
  };
}

const indexes = new WeakMap<Catalogue['rateCards'], ReadonlyMap<string, RateCardVersion>>();

/** By the id that stands in a call's record; the index is made once for each generation of the catalogue. */
export function versionOf({ rateCards }: Catalogue, id: string): RateCardVersion | undefined {
  let index = indexes.get(rateCards);
  if (index === undefined) {
    index = new Map(
      [...rateCards.values()].flatMap(({ versions }) => versions.map((version) => [version.id, version])),
    );
    indexes.set(rateCards, index);
  }
  return index.get(id);
}

import type { Platform } from './platform.js';
import type { ServedCall } from './simulator-books.js';

/**
 * What a call must cost, worked out by the test itself: nothing of the product's own arithmetic is used, so that a fault there
 * shows. Amounts are integers of 10^-12 of the currency.
 */

const UNITS_PER_ONE = 10n ** 12n;
const TOKENS_PER_PRICE = 1_000_000n;

/** Units a token by GraphQL's dimension name; REQUEST: units a piece. */
export type PriceList = Readonly<Record<string, bigint>>;

/** @param text plain decimal, such as `12.5` or `-0.01` */
export function parseUnits(text: string): bigint {
  const [, sign = '', whole = '', fraction = ''] = /^(-?)(\d+)(?:\.(\d{1,12}))?$/.exec(text) ?? [];
  if (whole === '') throw new Error(`not a plain decimal: ${text}`);
  const units = BigInt(whole) * UNITS_PER_ONE + BigInt(fraction.padEnd(12, '0'));
  return sign === '-' ? -units : units;
}

interface ShownCard {
  readonly id: string;
  readonly versions: readonly { readonly prices: readonly { readonly dimension: string; readonly amount: string }[] }[];
}

/** The only version of the price card that a model is sold by. */
export async function readPriceList(platform: Platform, model: string): Promise<PriceList> {
  const { models, rateCards } = await platform.query<{
    models: readonly { readonly name: string; readonly priceCardId: string | null }[];
    rateCards: readonly ShownCard[];
  }>(
    '{ models { name priceCardId } rateCards { id versions { prices { dimension amount } } } }',
    await platform.operator(),
  );
  const cardId = models.find(({ name }) => name === model)?.priceCardId;
  const [version, ...others] = rateCards.find(({ id }) => id === cardId)?.versions ?? [];
  if (version === undefined || others.length > 0) throw new Error(`${model} has not one price version`);
  return Object.fromEntries(version.prices.map(({ dimension, amount }) => [dimension, unitsPerOne(dimension, amount)]));
}

function unitsPerOne(dimension: string, amount: string): bigint {
  const units = parseUnits(amount);
  if (['REQUEST', 'IMAGE', 'WEB_SEARCH', 'AUDIO_SECONDS'].includes(dimension)) return units;
  if (units % TOKENS_PER_PRICE !== 0n) throw new Error(`${amount} a million is no whole number of units a token`);
  return units / TOKENS_PER_PRICE;
}

export type ServedTokens = Pick<
  ServedCall,
  'promptTokens' | 'completionTokens' | 'cachedTokens' | 'reasoningTokens'
> & {
  /** Part of the prompt; 0 if left out. */
  readonly audioTokens?: number;
};

/** Cached and audio tokens are part of the prompt and reasoning tokens part of the completion; each is charged once. */
export function exactPrice(prices: PriceList, tokens: ServedTokens): bigint {
  const rate = (dimension: string, billedAs?: string): bigint =>
    prices[dimension] ?? (billedAs === undefined ? 0n : rate(billedAs));
  const { audioTokens = 0 } = tokens;
  return (
    BigInt(tokens.promptTokens - tokens.cachedTokens - audioTokens) * rate('INPUT') +
    BigInt(audioTokens) * rate('AUDIO_INPUT', 'INPUT') +
    BigInt(tokens.cachedTokens) * rate('CACHE_READ', 'INPUT') +
    BigInt(tokens.completionTokens - tokens.reasoningTokens) * rate('OUTPUT') +
    BigInt(tokens.reasoningTokens) * rate('REASONING', 'OUTPUT') +
    rate('REQUEST')
  );
}

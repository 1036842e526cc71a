import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cards, contexts, count, plainCards } from '../kit/rate-card-values.js';
import { dearestPriceOf } from '@pingtoken/shared/dearest-price';
import { priceOf, type PriceContext } from '@pingtoken/shared/price-of';
import { ANSWER_DIMENSIONS, PROMPT_DIMENSIONS, type Usage } from '@pingtoken/shared/rate-card';

const NOON: PriceContext = { at: Date.parse('2026-11-25T12:00:00Z') };

describe('the dearest price', () => {
  const bounds = { inputTokens: count, outputTokens: count, images: count, requests: count, webSearches: count };
  const others = { audioSeconds: count, characters: count };

  /** A usage within bounds: the tokens that are bounded together divided at random among their dimensions. */
  const split = (total: number, shares: readonly number[]): number[] => {
    let left = total;
    return shares.map((share) => {
      const part = Math.floor(left * share);
      left -= part;
      return part;
    });
  };
  const shares = (length: number) =>
    fc.array(fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 1, noNaN: true })), {
      minLength: length,
      maxLength: length,
    });

  test('is never below the price of a call within the bounds, whatever its hour, tier and dimensions', () => {
    fc.assert(
      fc.property(
        ...([fc.record({ ...bounds, ...others }), cards, contexts] as const),
        ...([shares(PROMPT_DIMENSIONS.length), shares(ANSWER_DIMENSIONS.length), shares(5)] as const),
        (most, card, context, prompt, answer, rest) => {
          const usage: Usage = {};
          for (const [index, part] of split(most.inputTokens, prompt).entries())
            usage[PROMPT_DIMENSIONS[index] ?? 'input'] = part;
          for (const [index, part] of split(most.outputTokens, answer).entries())
            usage[ANSWER_DIMENSIONS[index] ?? 'output'] = part;
          const [image = 1, request = 1, webSearch = 1, audioSeconds = 1, characters = 1] = rest;
          usage.image = Math.floor(most.images * image);
          usage.request = Math.floor(most.requests * request);
          usage.webSearch = Math.floor(most.webSearches * webSearch);
          usage.audioSeconds = Math.floor(most.audioSeconds * audioSeconds);
          usage.characters = Math.floor(most.characters * characters);
          expect(priceOf(usage, card, context) <= dearestPriceOf(most, card)).toBe(true);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('is reached: some call within the bounds costs just that', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 14 }), fc.nat(20), plainCards, (inputTokens, outputTokens, card) => {
        const prices: bigint[] = [];
        for (let prompt = 0; prompt <= inputTokens; prompt += 1) {
          for (const asked of PROMPT_DIMENSIONS) {
            for (const given of ANSWER_DIMENSIONS) {
              prices.push(priceOf({ [asked]: prompt, [given]: outputTokens, request: 1 }, card, NOON));
            }
          }
        }
        const dearest = prices.reduce((most, price) => (price > most ? price : most), 0n);
        expect(dearestPriceOf({ inputTokens, outputTokens }, card)).toBe(dearest);
      }),
    );
  });
});

import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { calcPrice, findProvider } from '@pydantic/genai-prices';
import { formatAmount } from '@pingtoken/shared/money';
import { priceOf } from '@pingtoken/shared/price-of';
import { rateCardVersionSchema, type RateCardVersion, type Usage } from '@pingtoken/shared/rate-card';
import { parseJson } from '@pingtoken/shared/wire';
import { CATALOGUE_PROVIDERS, CATALOGUE_SOURCE, readCatalogue, type CatalogueModel } from './catalogue.js';

const AT = new Date('2026-11-01T12:00:00Z');
const catalogue = readCatalogue(AT);
const version = ({ currency, rates, contextTiers }: CatalogueModel): RateCardVersion =>
  rateCardVersionSchema.parse({ id: crypto.randomUUID(), effectiveFrom: 0, currency, rates, contextTiers });

const find = (modelId: string): CatalogueModel => {
  const model = catalogue.models.find((candidate) => candidate.modelId === modelId);
  if (model === undefined) throw new Error(`${modelId} is not in the catalogue`);
  return model;
};

/** Our disjoint counts as the library wants them: the whole, with its parts named beside. */
function toLibrary(usage: Usage): Record<string, number> {
  const { input = 0, output = 0, cacheRead = 0, cacheWrite5m = 0, cacheWrite1h = 0, audioInput = 0 } = usage;
  const { audioOutput = 0, webSearch = 0 } = usage;
  return {
    input_tokens: input + cacheRead + cacheWrite5m + cacheWrite1h + audioInput,
    output_tokens: output + audioOutput,
    cache_read_tokens: cacheRead,
    cache_write_tokens: cacheWrite5m + cacheWrite1h,
    cache_write_1h_tokens: cacheWrite1h,
    input_audio_tokens: audioInput,
    output_audio_tokens: audioOutput,
    web_searches: webSearch,
  };
}

describe('known prices, exactly', () => {
  test('gpt-4o: $2.50 in, $1.25 cached, $10 out per million', () => {
    expect(find('gpt-4o').rates).toEqual({
      ...{ input: '2500000', cacheRead: '1250000', output: '10000000', webSearch: '10000000000' },
    });
  });

  test('claude-sonnet-4-5: five rates, dearer above 200,000 tokens of prompt', () => {
    const { rates, contextTiers } = catalogue.models.find(
      ({ providerId, modelId }) => providerId === 'anthropic' && modelId === 'claude-sonnet-4-5',
    ) ?? { rates: null, contextTiers: null };
    expect(rates).toMatchObject({
      ...{
        input: '3000000',
        output: '15000000',
        cacheRead: '300000',
        cacheWrite5m: '3750000',
        cacheWrite1h: '6000000',
      },
    });
    expect(contextTiers).toEqual([
      {
        aboveInputTokens: 200_000,
        rates: {
          ...{ input: '6000000', output: '22500000', cacheRead: '600000' },
          ...{ cacheWrite5m: '7500000', cacheWrite1h: '12000000' },
        },
      },
    ]);
  });

  test('a price of many decimals: gemini-flash-1.5 reads its cache for $0.01875 per million', () => {
    expect(find('gemini-flash-1.5').rates.cacheRead).toBe('18750');
  });
});

describe('against the library’s own calculation', () => {
  const usages: Usage[] = [
    { input: 1, output: 1 },
    { input: 1234, output: 567, cacheRead: 89_000 },
    { input: 127_999, cacheRead: 1, output: 10 },
    { input: 128_001, output: 10 },
    { input: 200_000, output: 999 },
    { input: 100_000, cacheRead: 100_001, output: 999 },
    { input: 271_999, output: 3 },
    { input: 272_000, output: 3 },
    { input: 272_001, output: 3, cacheRead: 7 },
    { input: 10, cacheWrite5m: 250_000, cacheWrite1h: 77, output: 5 },
    { input: 5, audioInput: 1000, output: 7, audioOutput: 2000 },
    { input: 1, output: 1, webSearch: 13 },
  ];
  const priced = (usage: Usage, { rates }: CatalogueModel): boolean =>
    // What the vendor states no price for, the library gives away and we refuse or bill as its parent.
    (usage.output === undefined || rates.output !== undefined) &&
    (usage.audioInput === undefined || (rates.audioInput !== undefined && rates.audioOutput !== undefined)) &&
    (usage.webSearch === undefined || rates.webSearch !== undefined);

  test('every model agrees within the precision of a double, at every usage it prices', () => {
    let compared = 0;
    for (const model of catalogue.models) {
      const info = findProvider({ providerId: model.providerId })?.models.find(({ id }) => id === model.modelId);
      const provider = findProvider({ providerId: model.providerId });
      if (info === undefined || provider === undefined) throw new Error('not found');
      for (const usage of usages.filter((candidate) => priced(candidate, model))) {
        // Only this model, under a plain name: the library looks models up by patterns that overlap.
        const only = { ...provider, models: [{ ...info, match: { equals: 'it' } }] };
        const expected = calcPrice(toLibrary(usage), 'it', { provider: only, timestamp: AT })?.total_price;
        const actual = Number(formatAmount(priceOf(usage, version(model), { at: AT.getTime() })));
        expect(actual, `${model.modelId} ${JSON.stringify(usage)}`).toBeCloseTo(expected ?? Number.NaN, 10);
        compared += 1;
      }
    }
    expect(compared).toBeGreaterThan(1200);
  });
});

describe('conditions', () => {
  test('the price in force at the instant counts', () => {
    const rateAt = (at: string): string | undefined =>
      readCatalogue(new Date(at)).models.find(({ modelId }) => modelId === 'gemini-3.6-flash')?.rates.input;
    expect(rateAt('2026-12-31T23:59:59Z')).toBe('750000');
    expect(rateAt('2027-01-01T00:00:00Z')).toBe('1500000');
  });

  test('what no rate card can state is named with its reason, never approximated', () => {
    const reasons = new Map(catalogue.skipped.map(({ modelId, reason }) => [modelId, reason]));
    expect(reasons.get('deepseek-chat')).toBe('the price depends on the time of day');
    expect(reasons.get('whisper-1')).toBe('there is no price for input tokens');
    expect(find('gpt-image-1').uncovered).toEqual(['input_image_mtok', 'cache_image_read_mtok']);
  });

  test('every model of every provider is either offered or named as skipped', () => {
    const count = CATALOGUE_PROVIDERS.reduce(
      (sum, id) => sum + (findProvider({ providerId: id })?.models.length ?? 0),
      0,
    );
    expect(catalogue.models.length + catalogue.skipped.length).toBe(count);
    expect(catalogue.models.length).toBeGreaterThan(150);
  });

  test('the source names the version that is installed', () => {
    const entry = createRequire(import.meta.url).resolve('@pydantic/genai-prices');
    const { name, version: installed } = parseJson(readFileSync(join(entry, '../../package.json'), 'utf8')) as Record<
      'name' | 'version',
      string
    >;
    expect(CATALOGUE_SOURCE).toBe(`${name} ${installed}`);
  });
});

import { describe, expect, test } from 'vitest';
import { calcPrice, findProvider } from '@pydantic/genai-prices';
import { formatAmount } from '@pingtoken/shared/money';
import { priceOf } from '@pingtoken/shared/price-of';
import { rateCardVersionSchema, type RateCardVersion, type Usage } from '@pingtoken/shared/rate-card';
import { readPriceLibrary, type LibraryModel, type LibraryVersion } from './price-library.js';

const AT = new Date('2026-11-01T12:00:00Z');
const PROVIDERS = ['openai', 'anthropic', 'google', 'deepseek', 'mistral', 'x-ai', 'groq', 'fireworks', 'perplexity'];
const library = readPriceLibrary(PROVIDERS);

function inForce({ versions }: LibraryModel, at = AT): LibraryVersion {
  const version = versions.findLast(({ from }) => from === null || new Date(from) <= at);
  if (version === undefined) throw new Error('no version is in force');
  return version;
}

const version = ({ from: _from, ...prices }: LibraryVersion): RateCardVersion =>
  rateCardVersionSchema.parse({ id: crypto.randomUUID(), effectiveFrom: 0, ...prices });

function find(modelId: string, providerId?: string): LibraryModel {
  const model = library.models.find(
    (candidate) => candidate.modelId === modelId && (providerId ?? candidate.providerId) === candidate.providerId,
  );
  if (model === undefined) throw new Error(`${modelId} is not in the library`);
  return model;
}

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
    expect(inForce(find('gpt-4o')).rates).toEqual({
      ...{ input: '2500000', cacheRead: '1250000', output: '10000000', webSearch: '10000000000' },
    });
  });

  test('claude-sonnet-4-5: five rates, dearer above 200,000 tokens of prompt', () => {
    const { rates, contextTiers } = inForce(find('claude-sonnet-4-5', 'anthropic'));
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
    expect(inForce(find('gemini-flash-1.5')).rates.cacheRead).toBe('18750');
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
  const priced = (usage: Usage, { rates }: LibraryVersion): boolean =>
    // What the vendor states no price for, the library gives away and we refuse or bill as its parent.
    (usage.output === undefined || rates.output !== undefined) &&
    (usage.audioInput === undefined || (rates.audioInput !== undefined && rates.audioOutput !== undefined)) &&
    (usage.webSearch === undefined || rates.webSearch !== undefined);

  test('every model agrees within the precision of a double, at every usage it prices', () => {
    let compared = 0;
    for (const model of library.models) {
      const info = findProvider({ providerId: model.providerId })?.models.find(({ id }) => id === model.modelId);
      const provider = findProvider({ providerId: model.providerId });
      if (info === undefined || provider === undefined) throw new Error('not found');
      for (const usage of usages.filter((candidate) => priced(candidate, inForce(model)))) {
        // Only this model, under a plain name: the library looks models up by patterns that overlap.
        const only = { ...provider, models: [{ ...info, match: { equals: 'it' } }] };
        const expected = calcPrice(toLibrary(usage), 'it', { provider: only, timestamp: AT })?.total_price;
        const card = version(inForce(model));
        const actual = Number(formatAmount(priceOf({ ...usage, request: 1 }, card, { at: AT.getTime() })));
        expect(actual, `${model.modelId} ${JSON.stringify(usage)}`).toBeCloseTo(expected ?? Number.NaN, 10);
        compared += 1;
      }
    }
    expect(compared).toBeGreaterThan(1200);
  });
});

describe('conditions', () => {
  test('what holds from a later day on is told with that day', () => {
    const { versions } = find('gemini-3.6-flash');
    expect(versions.map(({ from, rates }) => [from, rates.input])).toEqual([
      [null, '750000'],
      ['2027-01-01', '1500000'],
    ]);
  });

  test('at every instant the prices are those that the library would take', () => {
    for (const model of library.models.filter(({ versions }) => versions.length > 1)) {
      const provider = findProvider({ providerId: model.providerId });
      const info = provider?.models.find(({ id }) => id === model.modelId);
      if (provider === undefined || info === undefined) throw new Error('not found');
      const only = { ...provider, models: [{ ...info, match: { equals: 'it' } }] };
      const days = model.versions.flatMap(({ from }) => (from === null ? [] : [new Date(from).getTime()]));
      for (const at of days.flatMap((day) => [day - 1, day]).map((instant) => new Date(instant))) {
        const expected = calcPrice({ input_tokens: 1000 }, 'it', { provider: only, timestamp: at })?.total_price;
        const actual = Number(
          formatAmount(priceOf({ input: 1000 }, version(inForce(model, at)), { at: at.getTime() })),
        );
        expect(actual, `${model.modelId} at ${at.toISOString()}`).toBeCloseTo(expected ?? Number.NaN, 10);
      }
    }
  });

  test('what depends on the hour becomes windows, at each hour the library’s own price', () => {
    const hourly = library.models.filter(({ versions }) => versions.some(({ windows }) => windows.length > 0));
    expect(hourly.map(({ modelId }) => modelId)).toEqual(
      expect.arrayContaining(['deepseek-chat', 'deepseek-v4-flash', 'deepseek-v4-pro']),
    );
    for (const model of hourly) {
      const provider = findProvider({ providerId: model.providerId });
      const info = provider?.models.find(({ id }) => id === model.modelId);
      if (provider === undefined || info === undefined) throw new Error('not found');
      const only = { ...provider, models: [{ ...info, match: { equals: 'it' } }] };
      for (let minute = 0; minute < 24 * 60; minute += 15) {
        const at = new Date(Date.UTC(2026, 10, 1, 0, minute));
        const expected = calcPrice({ input_tokens: 1000 }, 'it', { provider: only, timestamp: at })?.total_price;
        const card = version(inForce(model, at));
        const actual = Number(formatAmount(priceOf({ input: 1000 }, card, { at: at.getTime() })));
        expect(actual, `${model.modelId} at ${at.toISOString()}`).toBeCloseTo(expected ?? Number.NaN, 10);
      }
    }
  });

  test('hours of sound are charged by the second', () => {
    expect(inForce(find('whisper-1')).rates).toEqual({ audioSeconds: '100000000' });
  });

  test('what no rate card can state is named with its reason, never approximated', () => {
    const reasons = new Map(library.skipped.map(({ modelId, reason }) => [modelId, reason]));
    expect(reasons.get('whisper-large-v3')).toBe('0.111 is no whole number of units');
    expect(reasons.get('gemma-3')).toBe('there is no price for what is sent');
    expect(find('gpt-image-1').uncovered).toEqual(['cache_image_read_mtok']);
  });

  test('every model of every provider is either read or named as skipped', () => {
    const count = PROVIDERS.reduce((sum, id) => sum + (findProvider({ providerId: id })?.models.length ?? 0), 0);
    expect(library.models.length + library.skipped.length).toBe(count);
    expect(library.models.length).toBeGreaterThan(250);
  });
});

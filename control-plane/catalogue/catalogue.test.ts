import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { findProvider, type ModelPrice } from '@pydantic/genai-prices';
import { AUTH_OF_DIALECT } from '@pingtoken/shared/config-snapshot';
import { rateCardVersionSchema } from '@pingtoken/shared/rate-card';
import { parseJson } from '@pingtoken/shared/wire';
import { buildPriceList, describeChanges, renderPriceList } from './build-list.js';
import {
  CATALOGUE_MODELS,
  CATALOGUE_PROVIDERS,
  listingOf,
  listKey,
  MODEL_LISTS,
  versionsFrom,
  type CatalogueModel,
} from './catalogue.js';
import { LIST_PRICES, LIST_PRICES_SOURCE } from './list-prices.js';

const offering = (operation: CatalogueModel['operations'][number]): number =>
  CATALOGUE_MODELS.filter(({ operations }) => operations.includes(operation)).length;

describe('providers', () => {
  test('are at least 25, each once, of every dialect', () => {
    const slugs = CATALOGUE_PROVIDERS.map(({ slug }) => slug);
    expect(slugs.length).toBeGreaterThanOrEqual(25);
    expect(new Set(slugs).size).toBe(slugs.length);
    expect(new Set(CATALOGUE_PROVIDERS.map(({ dialect }) => dialect))).toEqual(new Set(Object.keys(AUTH_OF_DIALECT)));
  });

  test.each(CATALOGUE_PROVIDERS)('$slug has https addresses that are whole, and models', (provider) => {
    for (const text of [provider.baseUrl, provider.termsUrl, provider.privacyUrl]) {
      const url = new URL(text);
      expect([url.protocol, url.username, url.search, url.hash]).toEqual(['https:', '', '', '']);
    }
    expect(provider.baseUrl).not.toMatch(/\/$/);
    expect(provider.slug).toMatch(/^[a-z0-9][a-z0-9-]{0,62}$/);
    expect(CATALOGUE_MODELS.filter((model) => model.provider === provider.slug)).not.toEqual([]);
  });
});

describe('models', () => {
  test('are at least 50 of chat, and some of every other kind', () => {
    expect(offering('chat-completions')).toBeGreaterThanOrEqual(50);
    for (const operation of ['embeddings', 'images', 'speech', 'transcriptions', 'rerank', 'moderations'] as const) {
      expect(offering(operation), operation).toBeGreaterThan(0);
    }
  });

  test('each name stands for one, of a provider that is in the catalogue', () => {
    const names = CATALOGUE_MODELS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    const slugs = new Set(CATALOGUE_PROVIDERS.map(({ slug }) => slug));
    for (const { provider, name } of CATALOGUE_MODELS) expect(slugs.has(provider), name).toBe(true);
    const upstream = CATALOGUE_MODELS.map(({ provider, upstreamModel }) => `${provider} ${upstreamModel}`);
    expect(new Set(upstream).size).toBe(upstream.length);
  });

  test('none that was chosen is missing for want of a price', () => {
    expect(buildPriceList().missing).toEqual([]);
    expect(CATALOGUE_MODELS).toHaveLength(MODEL_LISTS.reduce((sum, { models }) => sum + models.length, 0));
  });

  test.each(CATALOGUE_MODELS)('$name has prices that a card takes, for what it is asked', (model) => {
    expect(model.versions[0]?.from).toBeNull();
    for (const version of model.versions) {
      const { rates } = rateCardVersionSchema.parse({ id: crypto.randomUUID(), effectiveFrom: 0, ...version });
      const answersText = ['chat-completions', 'completions', 'responses', 'speech', 'images', 'transcriptions'];
      if (model.operations.some((operation) => answersText.includes(operation))) {
        expect(rates.output ?? rates.audioSeconds).toBeDefined();
      }
      if (!model.operations.includes('rerank')) expect(rates.input ?? rates.audioSeconds).toBeDefined();
      if (model.capabilities.includes('web-search')) expect(rates.webSearch ?? rates.request).toBeDefined();
    }
  });

  test('none is sold whose answers hold what nothing prices', () => {
    for (const { name, uncovered } of CATALOGUE_MODELS) {
      expect(
        uncovered.filter((key) => key.startsWith('output_')),
        name,
      ).toEqual([]);
    }
  });

  test('what was not taken from the library names the vendor’s page', () => {
    for (const { name, source } of CATALOGUE_MODELS) {
      if (source !== LIST_PRICES_SOURCE) expect(new URL(source).protocol, name).toBe('https:');
    }
  });
});

describe('the generated list', () => {
  /** Price keys of the library whose numbers are per million tokens, as ours are. */
  const KEYS = { input: 'input_mtok', output: 'output_mtok', cacheRead: 'cache_read_mtok' } as const;

  test('holds the library’s own numbers, digit for digit', () => {
    let compared = 0;
    for (const list of MODEL_LISTS) {
      for (const entry of list.models.filter(({ vendorPrices }) => vendorPrices === undefined)) {
        const listing = listingOf(list, entry);
        const info = findProvider({ providerId: listing.providerId })?.models.find(({ id }) => id === listing.modelId);
        const conditional = Array.isArray(info?.prices)
          ? info.prices.findLast(({ constraint }) => constraint?.type !== 'time_of_date')?.prices
          : info?.prices;
        const newest: ModelPrice = conditional ?? {};
        const stated = LIST_PRICES[listKey(listing)]?.versions.at(-1);
        for (const [dimension, key] of Object.entries(KEYS) as [keyof typeof KEYS, string][]) {
          const price = newest[key];
          const base = typeof price === 'object' ? price.base : price;
          expect(stated?.prices[dimension], `${listKey(listing)} ${dimension}`).toBe(base?.toString());
          compared += 1;
        }
      }
    }
    expect(compared).toBeGreaterThan(500);
  });

  test('is what the installed library gives, and names its version', () => {
    const entry = createRequire(import.meta.url).resolve('@pydantic/genai-prices');
    const { name, version } = parseJson(readFileSync(join(entry, '../../package.json'), 'utf8')) as {
      name: string;
      version: string;
    };
    const text = renderPriceList(buildPriceList().prices, `${name} ${version}`);
    expect(readFileSync(new URL('list-prices.ts', import.meta.url), 'utf8')).toBe(text);
  });

  test('prices that are known to follow are kept with their day, those past are not asked for', () => {
    const flash = CATALOGUE_MODELS.find(({ name }) => name === 'gemini-3.6-flash');
    if (flash === undefined) throw new Error('not offered');
    const inputs = (at: string) => versionsFrom(flash, new Date(at)).map(({ from, rates }) => [from, rates.input]);
    expect(inputs('2026-12-31T23:59:59Z')).toEqual([
      [null, '750000'],
      ['2027-01-01', '1500000'],
    ]);
    expect(inputs('2027-01-01T00:00:00Z')).toEqual([['2027-01-01', '1500000']]);
  });

  test('of a change, each thing that changed is told, and nothing else', () => {
    const version = (input: string) => ({
      ...{ from: null, currency: 'USD', prices: { input }, contextTiers: [], windows: [] },
    });
    const model = (input: string, contextWindow: number) => ({
      ...{ contextWindow, versions: [version(input)], uncovered: [] },
    });
    const before = { 'a/gone': model('1', 5), 'a/same': model('1', 5), 'a/dearer': model('1', 5) };
    const after = { 'a/new': model('2', 7), 'a/same': model('1', 5), 'a/dearer': model('1.5', 6) };
    expect(describeChanges(before, after)).toEqual([
      '~ a/dearer: context window 5 → 6',
      '~ a/dearer: input 1 → 1.5',
      '- a/gone',
      '+ a/new: context window 7, input 2',
    ]);
    expect(describeChanges(before, before)).toEqual([]);
  });

  test('the check passes on it, with no network asked', async () => {
    const script = new URL('../dist/catalogue/update.js', import.meta.url).pathname;
    const { stdout } = await promisify(execFile)(process.execPath, [script, '--check']);
    expect(stdout).toContain(' 0 changes, 0 without a price');
  });
});

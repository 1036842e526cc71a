import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { buildPriceList, describeChanges, nameLibrary, renderPriceList } from './build-list.js';
import { LIST_PRICES, LIST_PRICES_SOURCE } from './list-prices.js';

/**
 * `npm run catalogue:update`: brings the generated price list up to the library that is installed and says what changed.
 * With `--check` nothing is written, and the exit code is 1 when the list is stale. Needs no network.
 */
const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });

/** The sources, as seen from where this is compiled to. */
const file = new URL('../../catalogue/list-prices.ts', import.meta.url);
const source = nameLibrary();
const { prices, missing } = buildPriceList();
const changes = describeChanges(LIST_PRICES, prices);
const text = renderPriceList(prices, source);
const isStale = readFileSync(file, 'utf8') !== text;

if (LIST_PRICES_SOURCE !== source) console.log(`${LIST_PRICES_SOURCE} → ${source}`);
for (const change of changes) console.log(change);
for (const { key, reason } of missing) console.log(`! ${key} is not offered: ${reason}`);
console.log(`${Object.keys(prices).length} models, ${changes.length} changes, ${missing.length} without a price`);

if (isStale && values.check) {
  console.error('The price list is stale: run `npm run catalogue:update`.');
  process.exitCode = 1;
} else if (isStale) writeFileSync(file, text);

import { parseArgs } from 'node:util';
import type { MarketSize } from './customers.js';

export interface LedgerOptions extends MarketSize {
  readonly events: number;
  /** Events in one job. */
  readonly batchSize: number;
  /** Over how many days the calls are spread. */
  readonly days: number;
  readonly asks: boolean;
  readonly verifies: boolean;
  /** Where the worker's CPU profile is written to. */
  readonly profileFolder: string | undefined;
}

export const LEDGER_USAGE = `npm run bench:ledger [-- options]
  --events 1000000   calls (1 to 10000000)
  --days 30          over which they are spread, up to now (1 to 60)
  --batch 500        in one job, as data planes make them (1 to 1000)
  --tenants 50       who make them, the first most (1 to 10000)
  --keys 4           of each tenant (1 to 100)
  --models 10        (1 to 1000)
  --data-planes 4    (1 to 100)
  --no-questions     only bring them into the ledger
  --verify           work the ledger out again afterwards
  --profile FOLDER   write the worker's CPU profile`;

/** @throws Error fit for a terminal */
export function readLedgerOptions(argv: readonly string[]): LedgerOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      events: { type: 'string', default: '1000000' },
      days: { type: 'string', default: '30' },
      batch: { type: 'string', default: '500' },
      tenants: { type: 'string', default: '50' },
      keys: { type: 'string', default: '4' },
      models: { type: 'string', default: '10' },
      'data-planes': { type: 'string', default: '4' },
      'no-questions': { type: 'boolean', default: false },
      verify: { type: 'boolean', default: false },
      profile: { type: 'string' },
    },
  });
  return {
    events: wholeNumber('--events', values.events, 10_000_000),
    days: wholeNumber('--days', values.days, 60),
    batchSize: wholeNumber('--batch', values.batch, 1_000),
    tenants: wholeNumber('--tenants', values.tenants, 10_000),
    keys: wholeNumber('--keys', values.keys, 100),
    models: wholeNumber('--models', values.models, 1_000),
    dataPlanes: wholeNumber('--data-planes', values['data-planes'], 100),
    asks: !values['no-questions'],
    verifies: values.verify,
    profileFolder: values.profile,
  };
}

function wholeNumber(name: string, text: string, most: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= most) return value;
  throw new Error(`${name} must be a whole number from 1 to ${most}.`);
}

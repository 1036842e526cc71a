import type { Price } from './prices.js';

/** What the simulator's models are sold for and what they cost, in US dollars: made up, for demonstrations and tests. */
export interface DemonstrationPrices {
  readonly model: string;
  readonly price: readonly Price[];
  readonly cost: readonly Price[];
}

export const SIMULATOR_PRICES: readonly DemonstrationPrices[] = [
  {
    model: 'pingtoken-sim-small',
    price: [
      { dimension: 'input', amount: '0.15' },
      { dimension: 'cacheRead', amount: '0.075' },
      { dimension: 'output', amount: '0.60' },
    ],
    cost: [
      { dimension: 'input', amount: '0.12' },
      { dimension: 'cacheRead', amount: '0.06' },
      { dimension: 'output', amount: '0.48' },
    ],
  },
  {
    model: 'pingtoken-sim-large',
    price: [
      { dimension: 'input', amount: '2.50' },
      { dimension: 'cacheRead', amount: '1.25' },
      { dimension: 'output', amount: '10' },
    ],
    cost: [
      { dimension: 'input', amount: '2' },
      { dimension: 'cacheRead', amount: '1' },
      { dimension: 'output', amount: '8' },
    ],
  },
  {
    model: 'pingtoken-sim-embedding',
    price: [{ dimension: 'input', amount: '0.02' }],
    cost: [{ dimension: 'input', amount: '0.015' }],
  },
];

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
  {
    model: 'pingtoken-sim-anthropic',
    price: [
      { dimension: 'input', amount: '3' },
      { dimension: 'cacheRead', amount: '0.30' },
      { dimension: 'cacheWrite5m', amount: '3.75' },
      { dimension: 'cacheWrite1h', amount: '6' },
      { dimension: 'output', amount: '15' },
      { dimension: 'webSearch', amount: '0.01' },
    ],
    cost: [
      { dimension: 'input', amount: '2.40' },
      { dimension: 'cacheRead', amount: '0.24' },
      { dimension: 'cacheWrite5m', amount: '3' },
      { dimension: 'cacheWrite1h', amount: '4.80' },
      { dimension: 'output', amount: '12' },
      { dimension: 'webSearch', amount: '0.008' },
    ],
  },
  {
    model: 'pingtoken-sim-gemini',
    price: [
      { dimension: 'input', amount: '0.30' },
      { dimension: 'cacheRead', amount: '0.03' },
      { dimension: 'audioInput', amount: '1' },
      { dimension: 'output', amount: '2.50' },
    ],
    cost: [
      { dimension: 'input', amount: '0.24' },
      { dimension: 'cacheRead', amount: '0.024' },
      { dimension: 'audioInput', amount: '0.80' },
      { dimension: 'output', amount: '2' },
    ],
  },
  {
    model: 'pingtoken-sim-image',
    price: [
      { dimension: 'input', amount: '5' },
      { dimension: 'output', amount: '40' },
      { dimension: 'image', amount: '0.01' },
    ],
    cost: [
      { dimension: 'input', amount: '4' },
      { dimension: 'output', amount: '32' },
      { dimension: 'image', amount: '0.008' },
    ],
  },
  {
    model: 'pingtoken-sim-speech',
    price: [
      { dimension: 'input', amount: '0.60' },
      { dimension: 'output', amount: '12' },
      { dimension: 'characters', amount: '15' },
    ],
    cost: [
      { dimension: 'input', amount: '0.48' },
      { dimension: 'output', amount: '9.60' },
      { dimension: 'characters', amount: '12' },
    ],
  },
  {
    model: 'pingtoken-sim-transcribe',
    price: [
      { dimension: 'input', amount: '2.50' },
      { dimension: 'audioInput', amount: '6' },
      { dimension: 'output', amount: '10' },
      { dimension: 'audioSeconds', amount: '0.0001' },
    ],
    cost: [
      { dimension: 'input', amount: '2' },
      { dimension: 'audioInput', amount: '4.80' },
      { dimension: 'output', amount: '8' },
      { dimension: 'audioSeconds', amount: '0.00008' },
    ],
  },
  {
    model: 'pingtoken-sim-moderation',
    price: [
      { dimension: 'input', amount: '0.01' },
      { dimension: 'request', amount: '0.0001' },
    ],
    cost: [
      { dimension: 'input', amount: '0.008' },
      { dimension: 'request', amount: '0.00008' },
    ],
  },
  {
    model: 'pingtoken-sim-rerank',
    price: [
      { dimension: 'input', amount: '0.05' },
      { dimension: 'request', amount: '0.002' },
    ],
    cost: [
      { dimension: 'input', amount: '0.04' },
      { dimension: 'request', amount: '0.0016' },
    ],
  },
  {
    model: 'pingtoken-sim-realtime',
    price: [
      { dimension: 'input', amount: '4' },
      { dimension: 'audioInput', amount: '32' },
      { dimension: 'output', amount: '16' },
      { dimension: 'audioOutput', amount: '64' },
    ],
    cost: [
      { dimension: 'input', amount: '3.20' },
      { dimension: 'audioInput', amount: '25.60' },
      { dimension: 'output', amount: '12.80' },
      { dimension: 'audioOutput', amount: '51.20' },
    ],
  },
  {
    model: 'pingtoken-sim-gemini-embedding',
    price: [{ dimension: 'input', amount: '0.15' }],
    cost: [{ dimension: 'input', amount: '0.12' }],
  },
];

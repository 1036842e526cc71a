import type { Dimension } from '@pingtoken/shared/rate-card';
import type { Price } from './prices.js';

/** What the simulator's models are sold for and what they cost, in US dollars: made up, for demonstrations and tests. */
export interface DemonstrationPrices {
  readonly model: string;
  readonly price: readonly Price[];
  readonly cost: readonly Price[];
}

/** By model and dimension: what the tenant pays, and what the operator pays for the same. */
const AMOUNTS: Readonly<Record<string, Partial<Record<Dimension, readonly [price: string, cost: string]>>>> = {
  'pingtoken-sim-small': { input: ['0.15', '0.12'], cacheRead: ['0.075', '0.06'], output: ['0.60', '0.48'] },
  'pingtoken-sim-large': { input: ['2.50', '2'], cacheRead: ['1.25', '1'], output: ['10', '8'] },
  'pingtoken-sim-embedding': { input: ['0.02', '0.015'] },
  'pingtoken-sim-anthropic': {
    input: ['3', '2.40'],
    cacheRead: ['0.30', '0.24'],
    cacheWrite5m: ['3.75', '3'],
    cacheWrite1h: ['6', '4.80'],
    output: ['15', '12'],
    webSearch: ['0.01', '0.008'],
  },
  'pingtoken-sim-gemini': {
    input: ['0.30', '0.24'],
    cacheRead: ['0.03', '0.024'],
    audioInput: ['1', '0.80'],
    output: ['2.50', '2'],
  },
  'pingtoken-sim-image': { input: ['5', '4'], output: ['40', '32'], image: ['0.01', '0.008'] },
  'pingtoken-sim-speech': { input: ['0.60', '0.48'], output: ['12', '9.60'], characters: ['15', '12'] },
  'pingtoken-sim-transcribe': {
    input: ['2.50', '2'],
    audioInput: ['6', '4.80'],
    output: ['10', '8'],
    audioSeconds: ['0.0001', '0.00008'],
  },
  'pingtoken-sim-moderation': { input: ['0.01', '0.008'], request: ['0.0001', '0.00008'] },
  'pingtoken-sim-rerank': { input: ['0.05', '0.04'], request: ['0.002', '0.0016'] },
  'pingtoken-sim-realtime': {
    input: ['4', '3.20'],
    audioInput: ['32', '25.60'],
    output: ['16', '12.80'],
    audioOutput: ['64', '51.20'],
  },
  'pingtoken-sim-gemini-embedding': { input: ['0.15', '0.12'] },
};

export const SIMULATOR_PRICES: readonly DemonstrationPrices[] = Object.entries(AMOUNTS).map(([model, amounts]) => {
  const rows = Object.entries(amounts) as [Dimension, readonly [price: string, cost: string]][];
  return {
    model,
    price: rows.map(([dimension, [amount]]) => ({ dimension, amount })),
    cost: rows.map(([dimension, [, amount]]) => ({ dimension, amount })),
  };
});

import { parseArgs } from 'node:util';
import { Refusal } from './refusal.js';

const MAX_DATA_PLANES = 16;

export interface LauncherArguments {
  /** 1 to 16. */
  readonly dataPlanes: number;
}

/** @throws Refusal for an unknown argument or a number out of bounds. */
export function readArguments(args: readonly string[]): LauncherArguments {
  const dataPlanes = Number(readOption(args));
  if (!Number.isInteger(dataPlanes) || dataPlanes < 1 || dataPlanes > MAX_DATA_PLANES) {
    throw new Refusal(`--data-planes must be a whole number from 1 to ${MAX_DATA_PLANES}.`);
  }
  return { dataPlanes };
}

function readOption(args: readonly string[]): string {
  try {
    return parseArgs({ args: [...args], options: { 'data-planes': { type: 'string', default: '1' } } }).values[
      'data-planes'
    ];
  } catch {
    throw new Refusal('Usage: npm start [-- --data-planes <number>]');
  }
}

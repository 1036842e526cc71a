import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createProgress } from './progress.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a step', () => {
  it('is silent when quick, and never leaves a reader two seconds without a line when slow', async () => {
    const lines: string[] = [];
    const step = createProgress({ print: (line) => lines.push(line) });
    expect(await step('Quick', () => Promise.resolve(1))).toBe(1);
    const slow = step('First part', async (rename) => {
      await new Promise((resolve) => setTimeout(resolve, 4000));
      rename('Second part');
      await new Promise((resolve) => setTimeout(resolve, 4000));
    });
    await vi.advanceTimersByTimeAsync(8000);
    await slow;
    await vi.advanceTimersByTimeAsync(8000);
    expect(lines).toEqual(['First part…', 'First part, 4 s', 'Second part…', 'Second part, 8 s']);
  });
});

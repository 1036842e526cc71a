import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteBudget } from './byte-budget.js';

describe('a budget of bytes', () => {
  it('is never exceeded by more than one that is larger than all, and admits everyone in order', async () => {
    const sizes = fc.array(fc.nat(150), { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(sizes, async (wanted) => {
        const budget = new ByteBudget(100);
        const admitted: number[] = [];
        let taken = 0;
        const use = async (bytes: number, index: number): Promise<void> => {
          await budget.take(bytes);
          admitted.push(index);
          taken += bytes;
          expect(taken <= 100 || taken === bytes).toBe(true);
          await Promise.resolve();
          taken -= bytes;
          budget.give(bytes);
        };
        await Promise.all(wanted.map(use));
        expect(admitted).toEqual(wanted.map((_, index) => index));
      }),
    );
  });
});

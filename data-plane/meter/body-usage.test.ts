import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BodyUsage } from './body-usage.js';

function usageOf(bytes: Buffer, pieceBytes = bytes.length): unknown {
  const reader = new BodyUsage('usage');
  for (let at = 0; at < bytes.length; at += pieceBytes) reader.push(bytes.subarray(at, at + pieceBytes));
  return reader.result();
}

describe('the usage of a body', () => {
  it('is the top-level one, wherever the body is cut', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue({ maxDepth: 4 })),
        fc.jsonValue({ maxDepth: 3 }),
        fc.nat(5),
        fc.constantFrom(undefined, 0, 2),
        fc.integer({ min: 1, max: 40 }),
        (others, usage, place, indent, pieceBytes) => {
          const entries = Object.entries(others).filter(([key]) => key !== 'usage');
          entries.splice(place, 0, ['usage', usage]);
          const bytes = Buffer.from(JSON.stringify(Object.fromEntries(entries), undefined, indent));
          expect(usageOf(bytes, pieceBytes)).toEqual(JSON.parse(JSON.stringify(usage)));
        },
      ),
      { numRuns: 1000 },
    );
  });

  it.each([
    '{"choices":[{"usage":{"prompt_tokens":1}}]}',
    '{"text":"\\"usage\\":{\\"prompt_tokens\\":1}"}',
    '["usage",{"usage":1}]',
    '{"usage_":{},"_usage":1,"Usage":2}',
    '{"a":"usage"}',
    '{"usage":',
    '"usage"',
    '',
    'not json at all }}}]]]{{{"usage":1',
  ])('is not found where it is not: %s', (text) => {
    expect(usageOf(Buffer.from(text))).toBeUndefined();
  });

  it('of 30 MB of vectors is found while the event loop goes on', () => {
    const vectors = `{"data":[${'0.12345678,'.repeat(2_800_000)}0],"usage":{"prompt_tokens":9}}`;
    const bytes = Buffer.from(vectors);
    const reader = new BodyUsage('usage');
    const takenMs: number[] = [];
    for (let at = 0; at < bytes.length; at += 65_536) {
      const started = performance.now();
      reader.push(bytes.subarray(at, at + 65_536));
      takenMs.push(performance.now() - started);
    }
    expect(reader.result()).toEqual({ prompt_tokens: 9 });
    // The median, for a busy machine may halt any one of them.
    expect(takenMs.sort((one, other) => one - other)[takenMs.length >> 1]).toBeLessThan(5);
  });

  it('is not kept where it is monstrous', () => {
    expect(usageOf(Buffer.from(`{"usage":"${'x'.repeat(100_000)}"}`), 1000)).toBeUndefined();
  });
});

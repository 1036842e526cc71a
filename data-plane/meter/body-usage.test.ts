import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BodyUsage } from './body-usage.js';

const USAGE: ReadonlySet<string> = new Set(['usage']);

function membersOf(bytes: Buffer, pieceBytes = bytes.length, members = USAGE): Readonly<Record<string, unknown>> {
  const reader = new BodyUsage(members);
  for (let at = 0; at < bytes.length; at += pieceBytes) reader.push(bytes.subarray(at, at + pieceBytes));
  return reader.result();
}

function usageOf(bytes: Buffer, pieceBytes = bytes.length): unknown {
  return membersOf(bytes, pieceBytes)['usage'];
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
    const reader = new BodyUsage(USAGE);
    const takenMs: number[] = [];
    for (let at = 0; at < bytes.length; at += 65_536) {
      const started = performance.now();
      reader.push(bytes.subarray(at, at + 65_536));
      takenMs.push(performance.now() - started);
    }
    expect(reader.result()).toEqual({ usage: { prompt_tokens: 9 } });
    // The median, for a busy machine may halt any one of them.
    expect(takenMs.sort((one, other) => one - other)[takenMs.length >> 1]).toBeLessThan(5);
  });

  it('is not kept where it is monstrous', () => {
    expect(usageOf(Buffer.from(`{"usage":[${'1,'.repeat(300_000)}1]}`), 1000)).toBeUndefined();
    expect(usageOf(Buffer.from(`{"usage":[${'1,'.repeat(300_000)}1],"usage":1}`), 1000)).toBe(1);
  });
});

describe('members of a body', () => {
  const MEMBERS: ReadonlySet<string> = new Set(['usage', 'output', 'data']);

  it('are those that were asked for, their long strings left out, wherever the body is cut', () => {
    const longText = fc.string({ unit: 'grapheme', minLength: 300, maxLength: 600 });
    const item = fc.record({
      type: fc.constantFrom('web_search_call', 'message', '"\\'),
      b64_json: fc.option(longText),
      text: fc.string({ unit: 'grapheme', maxLength: 20 }),
    });
    const shorten = (_key: string, value: unknown): unknown =>
      typeof value === 'string' && Buffer.byteLength(JSON.stringify(value)) > 256 ? '' : value;
    fc.assert(
      fc.property(
        fc.array(item, { maxLength: 4 }),
        fc.array(item, { maxLength: 3 }),
        longText,
        fc.constantFrom(undefined, 2),
        fc.integer({ min: 1, max: 90 }),
        (output, data, between, indent, pieceBytes) => {
          const body = { output, between, [between]: 1, usage: { input_tokens: 1 }, more: { usage: 2 }, data };
          const kept = { output, usage: { input_tokens: 1 }, data };
          const bytes = Buffer.from(JSON.stringify(body, undefined, indent));
          const expected = JSON.parse(JSON.stringify(kept, shorten)) as object;
          expect(membersOf(bytes, Math.min(pieceBytes, bytes.length - 1), MEMBERS)).toEqual(expected);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('are told apart from ten pictures of 3 MB each, of which nothing is kept', () => {
    const picture = `{"b64_json":"${'iVBO'.repeat(750_000)}"}`;
    const bytes = Buffer.from(`{"created":1,"data":[${Array(10).fill(picture).join(',')}],"usage":{"input_tokens":3}}`);
    expect(membersOf(bytes, 65_536, MEMBERS)).toEqual({
      data: Array(10).fill({ b64_json: '' }),
      usage: { input_tokens: 3 },
    });
  });
});

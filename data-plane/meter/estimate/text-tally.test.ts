import fc from 'fast-check';
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { describe, expect, it } from 'vitest';
import { TextTally, pieceEnd, type CountTokens } from './text-tally.js';

// What the tokenizer does once, on a busy machine in more time than a piece is given.
countTokens('warm');

const EXACT_CHARACTERS = 100_000;
const neverLate = (): boolean => false;

function run(work: Generator<void, number>): number {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

function count(texts: readonly string[], tokenize: CountTokens = countTokens, isLate = neverLate): number {
  const tally = new TextTally(EXACT_CHARACTERS);
  texts.forEach((text, index) => {
    tally.add(String(index), text);
  });
  return run(tally.count(tokenize, isLate));
}

const SENTENCE = 'The quick brown fox, 27 years old, doesn’t jump over `lazy_dogs(x)` any more; it walks. ';

describe('the count of a text', () => {
  it('is the tokenizer’s own for prose of any length, though it is made in pieces', () => {
    const text = SENTENCE.repeat(400);
    expect(count([text])).toBe(countTokens(text));
  });

  it('differs by less than one token a piece where a text has no gaps', () => {
    for (const word of ['我们今天去公园看花然后吃饭', 'x9', '🙂👨‍👩‍👧', '\n\n']) {
      const text = word.repeat(3000);
      const exact = tokensInParts(text);
      expect(Math.abs(count([text]) - exact) / exact).toBeLessThan(0.02);
    }
  });

  it('adds up what came in many parts of one channel as if it had come in one', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 9 }), (sizes) => {
        const text = SENTENCE.repeat(30);
        const tally = new TextTally(EXACT_CHARACTERS);
        for (let at = 0, turn = 0; at < text.length; turn += 1) {
          const size = sizes[turn % sizes.length] ?? 1;
          tally.add('answer', text.slice(at, at + size));
          at += size;
        }
        expect(run(tally.count(countTokens, neverLate))).toBe(countTokens(text));
      }),
      { numRuns: 20 },
    );
  });

  it('gives the tokenizer pieces of at most 4 KB that begin and end with whole characters', () => {
    const texts = fc.string({ unit: 'grapheme', minLength: 900, maxLength: 3000 });
    fc.assert(
      fc.property(texts, (text) => {
        for (let at = 0; at < text.length;) {
          const end = pieceEnd(text, at);
          const piece = text.slice(at, end);
          expect(end).toBeGreaterThan(at);
          expect(Buffer.byteLength(piece)).toBeLessThanOrEqual(4096);
          if (text.isWellFormed()) expect(piece.isWellFormed()).toBe(true);
          at = end;
        }
      }),
      { numRuns: 200 },
    );
  });

  it('of more than is tokenised goes on as its beginning did, and tokenises no more than that', () => {
    let tokenised = 0;
    const text = SENTENCE.repeat(4000);
    const counted = count([text], (piece) => {
      tokenised += piece.length;
      return piece.length / 8;
    });
    expect(tokenised).toBe(EXACT_CHARACTERS);
    const bytes = Buffer.byteLength(text) / Buffer.byteLength(SENTENCE);
    expect(counted).toBeGreaterThan((bytes * SENTENCE.length) / 8 - 10);
    expect(counted).toBeLessThan((bytes * SENTENCE.length) / 8 + 10);
  });

  it('that is late is a token for four bytes, and waits for no tokenizer', () => {
    const tokenize = (): number => {
      throw new Error('tokenised');
    };
    expect(count(['a'.repeat(400), '中'.repeat(400)], tokenize, () => true)).toBe(100 + 300);
  });
});

/** The tokenizer takes seconds for a long text without gaps; its time grows with the square of the length. */
function tokensInParts(text: string): number {
  let tokens = 0;
  for (let at = 0; at < text.length; at += 3000) tokens += countTokens(text.slice(at, at + 3000));
  return tokens;
}
